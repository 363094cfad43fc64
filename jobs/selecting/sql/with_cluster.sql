-- Each document with its cluster of the dedup table: null where it has none.
with documents as (select * from {documents}),
-- One row an id, so that the join adds no document; how many there were shows ids that are there twice.
clusters as (
    select
        doc_id,
        max(cluster_id) as cluster_id,
        count(*) as cluster_rows
    from {clusters}
    group by doc_id
)
select
    documents.*,
    clusters.cluster_id,
    coalesce(clusters.cluster_rows, 0) as cluster_rows
from documents
left join clusters on documents.doc_id = clusters.doc_id
