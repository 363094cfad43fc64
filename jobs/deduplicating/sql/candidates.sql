-- Each pair of texts that shares a bucket, once, the smaller doc_id first.
-- Two sets are no more similar than the smaller's size is of the larger's, so that other pairs need not be compared.
with buckets as (select * from {buckets})
select distinct
    earlier.doc_id as first_id,
    later.doc_id as second_id
from buckets as earlier
inner join buckets as later
    on earlier.band = later.band and earlier.bucket = later.bucket and earlier.rank_in_bucket < later.rank_in_bucket
where
    earlier.rank_in_bucket <= :max_bucket
    and least(earlier.num_shingles, later.num_shingles) / greatest(earlier.num_shingles, later.num_shingles)
    >= :similarity
