-- The best and the worst documents of each domain, best first.
with rankings as (select * from {rankings}),
documents as (select * from {documents}),
ends as (
    select
        domain,
        doc_id,
        domain_rank,
        domain_size,
        influence_score,
        num_tokens
    from rankings
    where scorer_id = :scorer_id and (domain_rank <= :num_shown or domain_rank > domain_size - :num_shown)
)
select
    ends.domain,
    ends.domain_rank,
    ends.domain_size,
    ends.influence_score,
    ends.num_tokens,
    ends.doc_id,
    documents.source,
    -- One line of it is shown; the text itself may be megabytes.
    left(documents.text, 200) as beginning
from ends
left join documents on ends.doc_id = documents.doc_id
order by ends.domain, ends.domain_rank, ends.doc_id
