-- The documents whose values are those of the bin in which their domain's limit lies.
with documents as (select * from {documents}),
last_bins as (select * from {last_bins})
select /*+ broadcast(last_bins) */ documents.*
from documents
inner join last_bins
    on
        documents.domain = last_bins.domain
        and documents.order_value between last_bins.lowest and last_bins.highest
