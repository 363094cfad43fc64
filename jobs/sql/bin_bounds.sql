-- Where to cut each domain into bins: every so-maniest document of a sample, in order, drawn by the hash of its id.
-- One row an order_value that is a bound, with the ids of those documents: several where one value fills several bins.
with documents as (select * from {documents}),
sampled as (
    select
        domain,
        order_value,
        doc_id,
        row_number() over (partition by domain order by order_value desc, doc_id) as place
    from documents
    where pmod(xxhash64(doc_id), :sample_every) = 0
)
select
    domain,
    order_value,
    sort_array(collect_list(doc_id)) as doc_ids
from sampled
where place % :sampled_per_bin = 0
group by domain, order_value
