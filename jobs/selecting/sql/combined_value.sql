-- Documents ordered by a weighted mean of their two percentiles in their domain, instead of by one of the values.
with documents as (select * from {documents})
select
    * except (order_value, influence_percentile, quality_percentile),
    :influence * influence_percentile + :quality * quality_percentile as order_value
from documents
