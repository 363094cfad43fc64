-- One row per document: its cluster, named by the smallest doc_id in it.
-- clusters: node, the representative of equal texts, and lower, the smallest of the near-duplicates in its cluster.
with groups as (select * from {groups}),
clusters as (select * from {clusters}),
clustered as (
    select
        groups.doc_id,
        groups.text_sha256,
        coalesce(clusters.lower, groups.representative) as cluster_id
    from groups
    left join clusters on groups.representative = clusters.node
),
sized as (
    select
        doc_id,
        text_sha256,
        cluster_id,
        count(*) over (partition by cluster_id) as cluster_size,
        min(text_sha256) over (partition by cluster_id) <> max(text_sha256) over (partition by cluster_id) as texts_differ
    from clustered
)
select
    doc_id,
    cluster_id,
    cluster_size,
    case
        when texts_differ then 'near'
        when cluster_size > 1 then 'exact'
        else 'unique'
    end as kind,
    text_sha256
from sized
