-- One row for each scored document of one scorer.
-- A document whose text changed has a score for each text: the latest is the current one, whatever its status,
-- so a document whose new text could not be scored is not among them.
with scores as (select * from {scores}),
newest_first as (
    select
        *,
        row_number() over (partition by doc_id order by scored_at desc, run_id, text_sha256) as age
    from scores
    where scorer_id = :scorer_id
)
select
    doc_id,
    coalesce(nullif(trim(domain), ''), :unknown_domain) as domain,
    influence_score,
    num_tokens,
    text_sha256
from newest_first
where age = 1 and status = 'scored'
