-- The id and the hash of the text that each document of the corpus has now.
with corpus as (select * from {corpus})
select
    doc_id,
    sha2(cast(coalesce(text, '') as binary), 256) as text_sha256
from corpus
