-- One row a domain: what the input holds of it, and how that compares with corpus.
with compared as (select * from {compared})
select
    domain,
    sum(num_rows) as num_read,
    count(*) as num_documents,
    count_if(not is_present) as num_new,
    count_if(has_other_text) as num_other_text,
    count_if(has_other_domain) as num_other_domain,
    count_if(has_other_source) as num_other_source,
    sum(num_repaired) as num_repaired,
    coalesce(sum(num_rows) filter (where doc_id is null or doc_id = ''), 0) as num_without_id,
    sum(num_problems) as num_problems,
    min(first_problem) as first_problem,
    bool_or(has_id) as has_id,
    bool_or(has_text) as has_text,
    bool_or(has_domain) as has_domain,
    bool_or(has_source) as has_source
from compared
group by domain
order by domain
