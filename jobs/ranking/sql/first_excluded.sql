-- Each domain's first document, in order, that goes beyond what may be taken of it; no row where all of it may.
-- Only the bin in which the limit lies is sorted. Ids go to and from Python as bytes: it cannot decode every one.
with documents as (select * from {documents}),
last_bins as (select * from {last_bins}),
numbered as (
    select /*+ broadcast(last_bins) */
        documents.domain,
        documents.order_value,
        documents.doc_id,
        last_bins.max_documents,
        last_bins.max_tokens,
        last_bins.documents_before + row_number() over in_order as domain_rank,
        last_bins.tokens_before + sum(documents.num_tokens) over in_order as cumulative_tokens
    from documents
    inner join last_bins
        on
            documents.domain = last_bins.domain
            and documents.order_value between last_bins.lowest and last_bins.highest
            and (last_bins.id_after is null or cast(documents.doc_id as binary) > last_bins.id_after)
            and (last_bins.id_until is null or cast(documents.doc_id as binary) <= last_bins.id_until)
    window in_order as (
        partition by documents.domain
        order by documents.order_value desc, documents.doc_id rows between unbounded preceding and current row
    )
)
select
    domain,
    min_by(order_value, domain_rank) as order_value,
    cast(min_by(doc_id, domain_rank) as binary) as doc_id
from numbered
where domain_rank > max_documents or cumulative_tokens > max_tokens
group by domain
