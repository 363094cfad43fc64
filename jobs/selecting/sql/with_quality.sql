-- Each document with its value in the quality table: null where it has none, or NaN.
with documents as (select * from {documents}),
-- One row per id, so that the join adds no document; the count shows ids that are there twice.
quality as (
    select
        doc_id,
        max(if(isnan(quality), null, quality)) as quality,
        count(*) as quality_rows
    from {quality}
    group by doc_id
)
select
    documents.doc_id,
    documents.domain,
    documents.influence_score,
    documents.num_tokens,
    documents.text_sha256,
    quality.quality,
    coalesce(quality.quality_rows, 0) as quality_rows
from documents
left join quality on documents.doc_id = quality.doc_id
