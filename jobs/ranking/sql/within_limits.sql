-- The documents of each domain up to its limits, by their ranks; all of a domain that has none.
with ranked as (select * from {ranked}),
limits as (select * from {limits})
select
    ranked.doc_id,
    ranked.domain,
    ranked.order_value,
    ranked.num_tokens,
    ranked.carried
from ranked
left join limits on ranked.domain = limits.domain
where
    limits.domain is null
    or (ranked.domain_rank <= limits.max_documents and ranked.cumulative_tokens <= limits.max_tokens)
