-- One row per selected document, with the scorer and the rule that selected it.
with selections as (select * from {selections}),
selection_runs as (select * from {selection_runs})
select
    selections.selection_id,
    selection_runs.scorer_id,
    selection_runs.rule,
    selections.doc_id,
    selections.domain,
    selections.influence_score,
    selections.order_value,
    selections.quality,
    selections.cluster_id,
    selections.num_tokens,
    selections.text_sha256
from selections
inner join selection_runs
    on selections.selection_id = selection_runs.selection_id and selections.domain = selection_runs.domain
