-- The candidates that are similar: the share of both texts' shingles that they have in common (Jaccard).
with candidates as (select * from {candidates}),
shingles as (select * from {shingles}),
compared as (
    select
        candidates.first_id,
        candidates.second_id,
        size(array_intersect(a.shingles, b.shingles)) as num_shared,
        size(a.shingles) + size(b.shingles) as num_both
    from candidates
    inner join shingles as a on candidates.first_id = a.doc_id
    inner join shingles as b on candidates.second_id = b.doc_id
)
select
    first_id,
    second_id
from compared
-- A candidate had shingles when it was hashed; its text may have been emptied since.
where num_shared / nullif(num_both - num_shared, 0) >= :similarity
