-- One row per document and text that it has now, as a hash, with its domain: the least, where a table has it twice.
with corpus as (select * from {corpus})
select
    doc_id,
    sha2(cast(coalesce(text, '') as binary), 256) as text_sha256,
    min(domain) as domain
from corpus
group by doc_id, sha2(cast(coalesce(text, '') as binary), 256)
