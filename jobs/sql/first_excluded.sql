-- Each domain's first document, in order, that goes beyond what may be taken of it; none where all of it may.
-- Only the bin in which the limit lies is sorted. The id is handed on as bytes: not every one is text to Python.
with binned as (select * from {binned}),
last_bins as (select * from {last_bins}),
numbered as (
    select /*+ broadcast(last_bins) */
        binned.domain,
        binned.order_value,
        binned.doc_id,
        last_bins.max_documents,
        last_bins.max_tokens,
        last_bins.documents_before + row_number() over in_order as domain_rank,
        last_bins.tokens_before + sum(binned.num_tokens) over in_order as cumulative_tokens
    from binned
    inner join last_bins
        on
            binned.domain = last_bins.domain
            and binned.value_bin = last_bins.value_bin
            and binned.id_bin = last_bins.id_bin
    window in_order as (
        partition by binned.domain
        order by binned.order_value desc, binned.doc_id rows between unbounded preceding and current row
    )
)
select
    domain,
    min_by(order_value, domain_rank) as order_value,
    cast(min_by(doc_id, domain_rank) as binary) as doc_id
from numbered
where domain_rank > max_documents or cumulative_tokens > max_tokens
group by domain
