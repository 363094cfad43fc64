-- One row per kind: its documents and clusters.
with duplicates as (select * from {duplicates})
select
    kind,
    count(*) as num_documents,
    count_if(doc_id = cluster_id) as num_clusters
from duplicates
group by kind
