-- Documents ordered by a weighted mean of their two percentiles in their domain, instead of by one of the values.
with documents as (select * from {documents})
select
    doc_id,
    domain,
    influence_score,
    num_tokens,
    text_sha256,
    quality,
    cluster_id,
    :influence * influence_percentile + :quality * quality_percentile as order_value
from documents
