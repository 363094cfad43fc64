-- The documents whose order_value is at least their domain's threshold.
with documents as (select * from {documents}),
thresholds as (select * from {thresholds})
select /*+ broadcast(thresholds) */ documents.*
from documents
inner join thresholds on documents.domain = thresholds.domain
where documents.order_value >= thresholds.threshold
