-- What comes before each bin of a domain. higher_documents leaves out those whose value is the bin's own.
with bins as (select * from {bins})
select
    domain,
    value_bin,
    id_bin,
    num_documents,
    num_tokens,
    sum(num_documents) over (partition by domain) as domain_size,
    coalesce(
        sum(num_documents) over (
            partition by domain order by value_bin, id_bin rows between unbounded preceding and 1 preceding
        ),
        0
    ) as documents_before,
    coalesce(
        sum(num_tokens) over (
            partition by domain order by value_bin, id_bin rows between unbounded preceding and 1 preceding
        ),
        0
    ) as tokens_before,
    coalesce(
        sum(num_documents) over (
            partition by domain order by value_bin range between unbounded preceding and 1 preceding
        ),
        0
    ) as higher_documents
from bins
