-- One row a document: the buckets that it falls into, one in each hash table.
-- A bucket is named by hashes_per_table MinHash values together: two documents share it with probability
-- similarity ^ hashes_per_table. num_shingles is 0 for what has none and is not compared.
with hashed as (select * from {hashed})
select
    doc_id,
    text_sha256,
    num_shingles,
    transform(
        sequence(0, :num_hash_tables - 1),
        hash_table -> xxhash64(slice(hashes, hash_table * :hashes_per_table + 1, :hashes_per_table))
    ) as buckets
from hashed
