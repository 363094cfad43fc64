-- One row a text and hash table, for each text once: the bucket, and the text's place in it by doc_id.
with signatures as (select * from {signatures}),
groups as (select * from {groups}),
texts as (
    select
        signatures.doc_id,
        signatures.num_shingles,
        posexplode(signatures.buckets) as (hash_table, bucket)
    from signatures
    left semi join groups on signatures.doc_id = groups.doc_id and groups.doc_id = groups.representative
    where signatures.num_shingles > 0
)
select
    doc_id,
    num_shingles,
    hash_table,
    bucket,
    row_number() over (partition by hash_table, bucket order by doc_id) as place
from texts
