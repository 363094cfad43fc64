-- One row per domain: how many of its documents a joined table does not have, or has twice; the first and last by id.
with documents as (select * from {documents})
select
    domain,
    count_if(quality is null) as without_quality,
    min(doc_id) filter (where quality is null) as first_without_quality,
    max(doc_id) filter (where quality is null) as last_without_quality,
    count_if(cluster_id is null) as without_cluster,
    min(doc_id) filter (where cluster_id is null) as first_without_cluster,
    max(doc_id) filter (where cluster_id is null) as last_without_cluster,
    count_if(quality_rows > 1) as twice_in_quality,
    min(doc_id) filter (where quality_rows > 1) as first_twice_in_quality,
    max(doc_id) filter (where quality_rows > 1) as last_twice_in_quality,
    count_if(cluster_rows > 1) as twice_in_cluster,
    min(doc_id) filter (where cluster_rows > 1) as first_twice_in_cluster,
    max(doc_id) filter (where cluster_rows > 1) as last_twice_in_cluster
from documents
group by domain
