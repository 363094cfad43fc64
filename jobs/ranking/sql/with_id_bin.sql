-- Documents of equal values that would fill several bins are divided by their ids as well. doc_ids: the ids at which
-- the bins of a value end, rising, as bytes. id_bin: how many of them are smaller than the document's own id, by a
-- binary search in steps that are falling powers of two.
with binned as (select * from {binned}),
equals as (select * from {equals}),
with_ids as (
    select /*+ broadcast(equals) */
        binned.doc_id,
        binned.domain,
        binned.order_value,
        binned.num_tokens,
        binned.carried,
        binned.value_bin,
        equals.doc_ids,
        cast(binned.doc_id as binary) as id_bytes
    from binned
    left join equals on binned.negated = equals.negated
)
select
    doc_id,
    domain,
    order_value,
    num_tokens,
    carried,
    value_bin,
    case
        when doc_ids is null then 0
        else aggregate(
            cast(split(:steps, ',') as array<int>),
            0,
            (smaller, step) -> if(
                coalesce(get(doc_ids, smaller + step - 1) < id_bytes, false), smaller + step, smaller
            )
        )
    end as id_bin
from with_ids
