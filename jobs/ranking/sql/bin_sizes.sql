-- One row per bin: its documents, its tokens, and its lowest and highest value.
with binned as (select * from {binned})
select
    domain,
    value_bin,
    id_bin,
    count(*) as num_documents,
    sum(num_tokens) as num_tokens,
    min(order_value) as lowest,
    max(order_value) as highest
from binned
group by domain, value_bin, id_bin
