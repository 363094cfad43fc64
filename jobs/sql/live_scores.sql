-- The scores of texts that documents have now, under the domains that they have now. Other scores are history.
-- What was read from another table than the corpus stays: nothing here says what that table holds by now.
with scores as (select * from {scores}),
live_texts as (select * from {live_texts}),
read_elsewhere as (select distinct run_id from {runs} where source <> 'corpus')
select
    scores.* except (domain),
    coalesce(live_texts.domain, scores.domain) as domain
from scores
left join live_texts
    on scores.doc_id = live_texts.doc_id and scores.text_sha256 = live_texts.text_sha256
left join read_elsewhere
    on scores.run_id = read_elsewhere.run_id
where live_texts.doc_id is not null or read_elsewhere.run_id is not null
