-- One row per document: the buckets that it falls into, one per band.
-- The hashes_per_table MinHash values of a band name the bucket: two documents share it with probability
-- similarity ^ hashes_per_table. num_shingles is 0 for a text that has none and is not compared.
with hashed as (select * from {hashed})
select
    doc_id,
    text_sha256,
    num_shingles,
    transform(
        sequence(0, :num_hash_tables - 1),
        band -> xxhash64(slice(hashes, band * :hashes_per_table + 1, :hashes_per_table))
    ) as buckets
from hashed
