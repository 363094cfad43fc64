-- Each document with the bin that it is in: bins of a domain follow each other from the highest order_value down.
-- A bound is a bin of its own, which holds equal values only (an odd value_bin); between two bounds lies another (even).
-- Where equal values would fill several bins, their ids are cut as well (id_bin).
-- bounds: domain, highest (the first bound of each chunk), chunks (of :chunk_size bounds, falling): two short searches
-- instead of a long one. equals: domain, order_value, doc_ids (rising).
with documents as (select * from {documents}),
bounds as (select * from {bounds}),
equals as (select * from {equals}),
in_chunk as (
    select /*+ broadcast(bounds), broadcast(equals) */
        documents.*,
        bounds.chunks,
        equals.doc_ids,
        coalesce(size(filter(bounds.highest, bound -> bound >= documents.order_value)), 0) as chunk
    from documents
    left join bounds on documents.domain = bounds.domain
    left join equals on documents.domain = equals.domain and documents.order_value = equals.order_value
),
with_chunk as (
    select
        *,
        if(chunk = 0, array(), chunks[chunk - 1]) as chunk_bounds
    from in_chunk
)
select
    * except (chunks, doc_ids, chunk, chunk_bounds),
    2 * :chunk_size * greatest(chunk - 1, 0)
    + size(filter(chunk_bounds, bound -> bound >= order_value))
    + size(filter(chunk_bounds, bound -> bound > order_value)) as value_bin,
    coalesce(size(filter(doc_ids, bound -> bound < doc_id)), 0) as id_bin
from with_chunk
