-- One row per live document and scorer: the last attempt, whatever its status, at the latest text that it was given.
-- The domain's name: see jobs/corpus/domains.py.
with live_scores as (select * from {live_scores}),
newest_first as (
    select
        doc_id,
        text_sha256,
        scorer_id,
        attempt,
        domain,
        num_tokens,
        num_predicted_tokens,
        num_windows,
        num_float32_windows,
        base_nll_sum,
        masked_nll_sum,
        base_loss,
        masked_loss,
        influence_score,
        status,
        error_class,
        error_message,
        run_id,
        scored_at,
        row_number() over (
            partition by scorer_id, doc_id
            order by scored_at desc, attempt desc, text_sha256
        ) as age
    from live_scores
)
select
    doc_id,
    text_sha256,
    scorer_id,
    attempt,
    coalesce(nullif(trim(make_valid_utf8(domain)), ''), 'unknown') as domain,
    num_tokens,
    num_predicted_tokens,
    num_windows,
    num_float32_windows,
    base_nll_sum,
    masked_nll_sum,
    base_loss,
    masked_loss,
    influence_score,
    status,
    error_class,
    error_message,
    run_id,
    scored_at
from newest_first
where age = 1
