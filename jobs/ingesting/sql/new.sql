-- One row for each doc_id read that corpus does not hold. Where several rows have the id, and so the same text,
-- the first domain and source stand for all.
with documents as (select * from {documents}),
corpus as (select * from {corpus}),
copies as (
    select
        doc_id,
        domain,
        text,
        source,
        text_sha256,
        num_bytes,
        row_number() over (partition by doc_id order by domain, source, text_sha256) as copy
    from documents
)
select
    copies.doc_id,
    copies.domain,
    copies.text,
    copies.source,
    copies.text_sha256,
    copies.num_bytes
from copies
left anti join corpus on corpus.doc_id = copies.doc_id
where copies.copy = 1
