-- How many documents and tokens each bin has.
with binned as (select * from {binned})
select
    domain,
    value_bin,
    id_bin,
    count(*) as num_documents,
    sum(num_tokens) as num_tokens
from binned
group by domain, value_bin, id_bin
