-- The scores of texts that documents have now, under the domains that they have now. Other scores are history.
-- What no run says it has read from the corpus stays: nothing here says what other tables hold by now.
-- corpus_name: the corpus as runs of earlier versions named it.
with scores as (select * from {scores}),
live_texts as (select * from {live_texts}),
read_here as (select distinct run_id from {runs} where source in ('corpus', {corpus_name}))
select
    scores.* except (domain),
    coalesce(live_texts.domain, scores.domain) as domain
from scores
left join live_texts
    on scores.doc_id = live_texts.doc_id and scores.text_sha256 = live_texts.text_sha256
left join read_here
    on scores.run_id = read_here.run_id
where live_texts.doc_id is not null or read_here.run_id is null
