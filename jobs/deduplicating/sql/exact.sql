-- One row per document: the smallest doc_id among those of the same text stands for all of them.
with signatures as (select * from {signatures})
select
    doc_id,
    min(doc_id) over (partition by text_sha256) as representative,
    text_sha256
from signatures
