-- One row per domain: its size, and its best and worst document.
with rankings as (select * from {rankings})
select
    domain,
    max(domain_size) as num_documents,
    min_by(doc_id, domain_rank) as best_doc_id,
    max(influence_score) as best_score,
    max_by(doc_id, domain_rank) as worst_doc_id,
    min(influence_score) as worst_score
from rankings
where scorer_id = :scorer_id
group by domain
