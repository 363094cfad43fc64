-- One row per mix: its selection and scorer, how it was made, and its size, the oldest first.
with mixture_runs as (select * from {mixture_runs})
select
    mixture_id,
    min(selection_id) as selection_id,
    min(scorer_id) as scorer_id,
    min(settings) as settings,
    min(source_versions) as source_versions,
    min(created_at) as created_at,
    sum(num_documents) as num_documents,
    sum(num_tokens) as num_tokens
from mixture_runs
group by mixture_id
order by created_at, mixture_id
