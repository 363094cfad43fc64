-- The same rows as ranked_by_window.sql gives, by a window inside each bin: what comes before the bin is added.
with binned as (select * from {binned}),
bins as (select * from {bins}),
within_bin as (
    select
        doc_id,
        domain,
        order_value,
        num_tokens,
        carried,
        value_bin,
        id_bin,
        row_number() over (
            partition by domain, value_bin, id_bin order by order_value desc, doc_id
        ) as row_in_bin,
        rank() over (partition by domain, value_bin, id_bin order by order_value desc) as rank_in_bin,
        sum(num_tokens) over (
            partition by domain, value_bin, id_bin order by order_value desc, doc_id
            rows between unbounded preceding and current row
        ) as tokens_in_bin
    from binned
)
select /*+ broadcast(bins) */
    within_bin.doc_id,
    within_bin.domain,
    within_bin.order_value,
    within_bin.num_tokens,
    within_bin.carried,
    bins.documents_before + within_bin.row_in_bin as domain_rank,
    bins.domain_size,
    1 - coalesce(
        (bins.higher_documents + within_bin.rank_in_bin - 1) / nullif(bins.domain_size - 1, 0), 0
    ) as percentile,
    bins.tokens_before + within_bin.tokens_in_bin as cumulative_tokens
from within_bin
inner join bins
    on
        within_bin.domain = bins.domain
        and within_bin.value_bin = bins.value_bin
        and within_bin.id_bin = bins.id_bin
