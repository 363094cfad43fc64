-- What the shards hold: one row per shard (origin and domain are null), and one per part and domain (file_name is
-- null). The texts are read once for both.
with shards as (select * from {shards}),
measured as (
    select
        file_name,
        origin,
        domain,
        copy,
        num_tokens,
        octet_length(text) as num_bytes,
        xxhash64(doc_id, domain, origin, copy, num_tokens, sha2(text, 256)) as row_hash
    from shards
)
select
    file_name,
    origin,
    domain,
    count(*) as num_rows,
    count_if(copy = 1) as num_documents,
    sum(num_tokens) as num_tokens,
    sum(num_bytes) as num_bytes,
    bit_xor(row_hash) as content_hash
from measured
group by grouping sets ((file_name), (origin, domain))
order by file_name, origin, domain
