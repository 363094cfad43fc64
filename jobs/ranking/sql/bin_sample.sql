-- The sample of documents by which bin edges are chosen, drawn by a hash of their ids. The hash is salted, since the
-- corpus may itself have been drawn by their plain hash. Ids are bytes, since Python cannot decode every one.
with documents as (select * from {documents})
select
    cast(domain as binary) as domain,
    order_value,
    cast(doc_id as binary) as doc_id
from documents
where pmod(xxhash64(doc_id, 'bins'), :sample_every) = 0
