-- A sample of the documents by which the bounds of bins are chosen, drawn by a hash of their ids: salted, as
-- a corpus may itself have been drawn by their plain hash.
with documents as (select * from {documents})
select
    order_value,
    doc_id
from documents
where pmod(xxhash64(doc_id, 'bins'), :sample_every) = 0
