-- One row per part and domain: what the mix holds of it, and what there was to take.
with taken as (select * from {taken}),
available as (select * from {available}),
held as (
    select
        origin,
        domain,
        count(*) as num_documents,
        sum(num_tokens * repeats) as num_tokens
    from taken
    group by origin, domain
)
select
    available.origin,
    available.domain,
    available.available_documents,
    available.available_tokens,
    coalesce(held.num_documents, 0) as num_documents,
    coalesce(held.num_tokens, 0) as num_tokens,
    available.target_tokens,
    coalesce(held.num_tokens, 0) / available.available_tokens as epochs
from available
left join held on available.origin = held.origin and available.domain = held.domain
