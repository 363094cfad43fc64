-- One row per scorer and domain: its live documents by status, and the distribution of their scores.
with current_scores as (select * from {current_scores})
select
    scorer_id,
    domain,
    count(*) as num_documents,
    count_if(status = 'scored') as num_scored,
    count_if(status in ('empty', 'too_short')) as num_without_text,
    count_if(status = 'failed') as num_failed,
    sum(num_tokens) as num_tokens,
    avg(influence_score) as mean_score,
    min(influence_score) as lowest_score,
    percentile_approx(influence_score, 0.2) as score_at_20_percent,
    percentile_approx(influence_score, 0.5) as median_score,
    percentile_approx(influence_score, 0.8) as score_at_80_percent,
    max(influence_score) as highest_score,
    sum(base_nll_sum) / sum(num_predicted_tokens) as base_loss
from current_scores
group by scorer_id, domain
