-- How many documents failed in each run, by class of error.
with scores as (select * from {scores})
select
    run_id,
    error_class,
    count(*) as num_documents
from scores
where status = 'failed'
group by run_id, error_class
order by run_id, num_documents desc, error_class
