-- One part of a mix: its documents in an order drawn by hash, with the tokens that their repeats have.
-- percentile, rounded as 1 - 0.9 is not 0.1: from 0, the part's worst document of a domain, to 1, its best, which is there
-- :repeats times; 1 of every document where all are to be there as often.
with documents as (select * from {documents}),
repeated as (
    select
        *,
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
