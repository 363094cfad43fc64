-- The document of each cluster with the highest preference, ties by doc_id; a document without a cluster stays.
with documents as (select * from {documents}),
best_first as (
    select
        *,
        row_number() over (
            partition by cluster_id, if(cluster_id is null, doc_id, null)
            order by preference desc nulls last, doc_id
        ) as place
    from documents
)
select * except (place, preference)
from best_first
where place = 1
