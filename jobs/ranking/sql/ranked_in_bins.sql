-- As ranked_by_window.sql, and the same rows, but with a window inside each bin, and what comes before the bin added.
with binned as (select * from {binned}),
bins as (select * from {bins}),
within_bin as (
    select
        *,
        row_number() over (
            partition by domain, value_bin, id_bin order by order_value desc, doc_id
        ) as place,
        rank() over (partition by domain, value_bin, id_bin order by order_value desc) as rank,
        sum(num_tokens) over (
            partition by domain, value_bin, id_bin order by order_value desc, doc_id
            rows between unbounded preceding and current row
        ) as tokens
    from binned
)
select /*+ broadcast(bins) */
    within_bin.* except (value_bin, id_bin, place, rank, tokens),
    bins.documents_before + within_bin.place as domain_rank,
    bins.domain_size,
    1 - coalesce(
        (bins.higher_documents + within_bin.rank - 1) / nullif(bins.domain_size - 1, 0), 0
    ) as percentile,
    bins.tokens_before + within_bin.tokens as cumulative_tokens
from within_bin
inner join bins
    on
        within_bin.domain = bins.domain
        and within_bin.value_bin = bins.value_bin
        and within_bin.id_bin = bins.id_bin
