-- One row a live document and scorer: the last attempt at the text that the document has now.
-- live_texts: doc_id and text_sha256 of the documents that there are. Scores of other texts are history.
with scores as (select * from {scores}),
live_texts as (select * from {live_texts}),
newest_first as (
    select
        scores.*,
        row_number() over (
            partition by scores.scorer_id, scores.doc_id
            order by scores.scored_at desc, scores.attempt desc, scores.text_sha256
        ) as age
    from scores
    left semi join live_texts
        on scores.doc_id = live_texts.doc_id and scores.text_sha256 = live_texts.text_sha256
)
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
    scored_at
from newest_first
where age = 1
