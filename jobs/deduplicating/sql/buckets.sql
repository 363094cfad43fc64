-- One row per text and band, equal texts once: the bucket, and the text's rank in it by doc_id.
with signatures as (select * from {signatures}),
groups as (select * from {groups}),
texts as (
    select
        signatures.doc_id,
        signatures.num_shingles,
        posexplode(signatures.buckets) as (band, bucket)
    from signatures
    left semi join groups on signatures.doc_id = groups.doc_id and groups.doc_id = groups.representative
    where signatures.num_shingles > 0
)
select
    doc_id,
    num_shingles,
    band,
    bucket,
    row_number() over (partition by band, bucket order by doc_id) as rank_in_bucket
from texts
