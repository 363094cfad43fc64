-- One row per document and text that it has now, as a hash, with its domain: the least, where a table has it twice.
with corpus as (select * from {corpus})
select
    doc_id,
    text_sha256,
    min(domain) as domain
from corpus
group by doc_id, text_sha256
