-- One part of a mix: its documents in an order drawn by hash, with the tokens of all their repeats.
-- percentile: from 0, the part's worst document of a domain, to 1, its best, which is there :repeats times; 1 for every
-- document where all are to be there equally often. Rounded, since 1 - 0.9 is not 0.1.
with documents as (select * from {documents}),
repeated as (
    select
        doc_id,
        domain,
        text_sha256,
        num_tokens,
        cast(least(:repeats, 1 + floor(round(percentile * :repeats, 9))) as int) as repeats
    from documents
)
select
    doc_id,
    domain,
    text_sha256,
    repeats,
    num_tokens as tokens_once,
    num_tokens * repeats as num_tokens,
    xxhash64(:seed, :origin, doc_id) / double(9223372036854775808) as order_value
from repeated
