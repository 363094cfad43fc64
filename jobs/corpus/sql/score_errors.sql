-- One row per live document that a scorer could not score, with its class of error.
with current_scores as (select * from {current_scores})
select
    scorer_id,
    doc_id,
    domain,
    error_class,
    error_message,
    attempt,
    run_id,
    scored_at
from current_scores
where status = 'failed'
