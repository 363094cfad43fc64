-- The scores of texts that documents have now, under the domains that they have now. Other scores are history.
-- A score of another text stays, too, unless its run read the corpus: nothing says what other tables hold by now.
-- corpus_name: the corpus as runs of earlier versions named it.
with scores as (select * from {scores}),
live_texts as (select * from {live_texts}),
read_here as (select distinct run_id from {runs} where source in ('corpus', {corpus_name}))
select
    scores.doc_id,
    scores.text_sha256,
    scores.scorer_id,
    scores.attempt,
    coalesce(live_texts.domain, scores.domain) as domain,
    scores.num_tokens,
    scores.num_predicted_tokens,
    scores.num_windows,
    scores.num_float32_windows,
    scores.base_nll_sum,
    scores.masked_nll_sum,
    scores.base_loss,
    scores.masked_loss,
    scores.influence_score,
    scores.status,
    scores.error_class,
    scores.error_message,
    scores.run_id,
    scores.scored_at
from scores
left join live_texts
    on scores.doc_id = live_texts.doc_id and scores.text_sha256 = live_texts.text_sha256
left join read_here
    on scores.run_id = read_here.run_id
where live_texts.doc_id is not null or read_here.run_id is null
