-- As ranked_by_window.sql, and the same rows, but with a window inside each bin, and what comes before the bin added.
with binned as (select * from {binned}),
offsets as (select * from {offsets}),
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
select /*+ broadcast(offsets) */
    within_bin.* except (value_bin, id_bin, place, rank, tokens),
    offsets.documents_before + within_bin.place as domain_rank,
    offsets.domain_size,
    1 - coalesce(
        (offsets.higher_documents + within_bin.rank - 1) / nullif(offsets.domain_size - 1, 0), 0
    ) as percentile,
    offsets.tokens_before + within_bin.tokens as cumulative_tokens
from within_bin
inner join offsets
    on
        within_bin.domain = offsets.domain
        and within_bin.value_bin = offsets.value_bin
        and within_bin.id_bin = offsets.id_bin
