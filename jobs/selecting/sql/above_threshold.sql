-- The documents whose order_value is at least their domain's threshold.
with documents as (select * from {documents}),
thresholds as (select * from {thresholds})
select /*+ broadcast(thresholds) */
    documents.doc_id,
    documents.domain,
    documents.influence_score,
    documents.num_tokens,
    documents.text_sha256,
    documents.quality,
    documents.cluster_id,
    documents.order_value
from documents
inner join thresholds on documents.domain = thresholds.domain
where documents.order_value >= thresholds.threshold
