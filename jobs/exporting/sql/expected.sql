-- One row per part and domain of a mix: what its shards must hold, from the mix alone, without reading any text.
with mixture as (select * from {mixture}),
copies as (
    select
        doc_id,
        domain,
        origin,
        num_tokens,
        text_sha256,
        explode(sequence(1, repeats)) as copy
    from mixture
)
select
    origin,
    domain,
    count(*) as num_rows,
    count_if(copy = 1) as num_documents,
    sum(num_tokens) as num_tokens,
    bit_xor(xxhash64(doc_id, domain, origin, copy, num_tokens, text_sha256)) as content_hash
from copies
group by origin, domain
order by origin, domain
