-- Each document with its cluster in the dedup table: null where it has none. Comes after the quality join.
with documents as (select * from {documents}),
-- One row per id, so that the join adds no document; the count shows ids that are there twice.
clusters as (
    select
        doc_id,
        max(cluster_id) as cluster_id,
        count(*) as cluster_rows
    from {clusters}
    group by doc_id
)
select
    documents.doc_id,
    documents.domain,
    documents.influence_score,
    documents.num_tokens,
    documents.text_sha256,
    documents.quality,
    documents.quality_rows,
    clusters.cluster_id,
    coalesce(clusters.cluster_rows, 0) as cluster_rows
from documents
left join clusters on documents.doc_id = clusters.doc_id
