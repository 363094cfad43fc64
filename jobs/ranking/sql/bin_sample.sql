-- A sample of the documents by which the bounds of bins are chosen, drawn by a hash of their ids: salted, as
-- a corpus may itself have been drawn by their plain hash. Text is handed on as bytes: not all of it is text to Python.
with documents as (select * from {documents})
select
    cast(domain as binary) as domain,
    order_value,
    cast(doc_id as binary) as doc_id
from documents
where pmod(xxhash64(doc_id, 'bins'), :sample_every) = 0
