-- A sample of the documents by which the bounds of bins are chosen, drawn by the hash of their ids.
with documents as (select * from {documents})
select
    order_value,
    doc_id
from documents
where pmod(xxhash64(doc_id), :sample_every) = 0
