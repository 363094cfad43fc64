-- One row per domain of which anything was selected. :sign is -1 where the selection is from the bottom.
with selected as (select * from {selected})
select
    domain,
    count(*) as num_documents,
    sum(num_tokens) as num_tokens,
    min(order_value) as cutoff_order_value,
    :sign * min(:sign * influence_score) as cutoff_score
from selected
group by domain
