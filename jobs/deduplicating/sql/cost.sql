-- One row: how many comparisons the buckets ask for, before any is made.
-- In a bucket of n texts, each meets those before it, and no more than the first max_bucket.
with buckets as (select * from {buckets}),
sizes as (
    select
        band,
        bucket,
        count(*) as num_texts,
        least(count(*), :max_bucket) as num_first
    from buckets
    group by band, bucket
    having count(*) > 1
)
select
    coalesce(sum(num_first * (num_first - 1) div 2 + (num_texts - num_first) * num_first), 0) as num_comparisons,
    coalesce(max(num_texts), 0) as largest_bucket,
    count_if(num_texts > :max_bucket) as num_large_buckets
from sizes
