-- One row per copy of a document of a mix, with its text and the key of the shuffled order.
-- The join is by id alone. The texts were compared with the mix before, and the shards are compared with it afterwards;
-- a text hash as a second key would have to be computed for the whole corpus.
with mixture as (select * from {mixture}),
documents as (select * from {documents}),
joined as (
    select
        mixture.doc_id,
        mixture.domain,
        mixture.origin,
        mixture.repeats,
        mixture.num_tokens,
        documents.text
    from mixture
    inner join documents on mixture.doc_id = documents.doc_id
),
copies as (
    select
        doc_id,
        domain,
        origin,
        num_tokens,
        text,
        explode(sequence(1, repeats)) as copy
    from joined
)
select
    doc_id,
    domain,
    origin,
    copy,
    num_tokens,
    text,
    xxhash64(cast(:seed as bigint), origin, doc_id, copy) as shuffle_key
from copies
