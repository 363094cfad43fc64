-- Each document with its value of the quality table: null where it has none, or NaN.
with documents as (select * from {documents}),
-- One row an id, so that the join adds no document; how many there were shows ids that are there twice.
quality as (
    select
        doc_id,
        max(if(isnan(quality), null, quality)) as quality,
        count(*) as quality_rows
    from {quality}
    group by doc_id
)
select
    documents.*,
    quality.quality,
    coalesce(quality.quality_rows, 0) as quality_rows
from documents
left join quality on documents.doc_id = quality.doc_id
