-- Each document's rank in its domain, the highest order_value first, ties by doc_id.
-- One window over the whole domain: plain to read, but a single task sorts all of a domain. For large ones there is
-- ranked_in_bins.sql, which gives the same rows.
with documents as (select * from {documents})
select
    doc_id,
    domain,
    order_value,
    num_tokens,
    carried,
    cast(row_number() over (partition by domain order by order_value desc, doc_id) as bigint) as domain_rank,
    count(*) over (partition by domain) as domain_size,
    1 - percent_rank() over (partition by domain order by order_value desc) as percentile,
    sum(num_tokens) over (
        partition by domain order by order_value desc, doc_id rows between unbounded preceding and current row
    ) as cumulative_tokens
from documents
