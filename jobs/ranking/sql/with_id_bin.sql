-- Documents of equal values that would fill several bins, cut by their ids as well. id_bin: how many of the ids that cut
-- them (doc_ids, rising, as bytes) are before a document's own; by a binary search, in steps that are falling powers of
-- two.
with binned as (select * from {binned}),
equals as (select * from {equals}),
with_ids as (
    select /*+ broadcast(equals) */
        binned.*,
        equals.doc_ids,
        cast(binned.doc_id as binary) as id_bytes
    from binned
    left join equals on binned.negated = equals.negated
)
select
    * except (negated, doc_ids, id_bytes),
    case
        when doc_ids is null then 0
        else aggregate(
            cast(split(:steps, ',') as array<int>),
            0,
            (found, step) -> if(coalesce(get(doc_ids, found + step - 1) < id_bytes, false), found + step, found)
        )
    end as id_bin
from with_ids
