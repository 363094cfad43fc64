-- The document of each cluster with the highest preference, ties by doc_id; a document without a cluster stays.
with documents as (select * from {documents}),
best_first as (
    select
        doc_id,
        domain,
        influence_score,
        num_tokens,
        text_sha256,
        quality,
        cluster_id,
        row_number() over (
            partition by cluster_id, if(cluster_id is null, doc_id, null)
            order by preference desc nulls last, doc_id
        ) as rank_in_cluster
    from documents
)
select
    doc_id,
    domain,
    influence_score,
    num_tokens,
    text_sha256,
    quality,
    cluster_id
from best_first
where rank_in_cluster = 1
