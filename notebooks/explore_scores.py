# %% [markdown]
# # What was chosen, and why
#
# Reads the tables of a namespace and asks the questions to ask before any score is used: which heads are masked,
# which documents come out on top, and how far the score is only a matter of length or of an easy text. Run the cells
# in any editor that knows `# %%`, or the whole file: `.venv/bin/python notebooks/explore_scores.py ./demo_data`. Scores
# of different scorers do not compare: where there are several, name one after the namespace.

# %%
import sys

from jobs.corpus.scored import choose_scorer
from jobs.spark.namespace import Namespace
from jobs.spark.session import get_session

namespace = Namespace.parse(sys.argv[1] if len(sys.argv) > 1 else "./demo_data")
spark = get_session("explore scores")
scorer_id, _ = choose_scorer(spark, namespace, sys.argv[2] if len(sys.argv) > 2 else None)
for table in ("corpus", "head_masks", "scores"):
    spark.table(namespace.identifier(table)).createOrReplaceTempView(table)
rankings = spark.table(namespace.identifier("rankings"))
rankings.where(rankings.scorer_id == scorer_id).createOrReplaceTempView("rankings")

# %% [markdown]
# The masked heads. Those that copy sit in the middle and upper layers; a mask spread evenly over all layers is a sign
# of a detection at chance.

# %%
masks = spark.sql(
    """
    select mask_id, model_id, size(heads) as num_heads, transform(heads, h -> concat(h.layer, '-', h.head)) as heads
    from head_masks
    order by created_at desc
    """
)
masks.show(truncate=False)

# %% [markdown]
# Scores by domain. They do not compare between domains: look at the spread within each.

# %%
domains = spark.sql(
    """
    select
        domain,
        count(*) as num_documents,
        round(percentile_approx(influence_score, 0.1), 3) as p10,
        round(percentile_approx(influence_score, 0.5), 3) as median,
        round(percentile_approx(influence_score, 0.9), 3) as p90
    from rankings
    group by domain
    order by domain
    """
)
domains.show()

# %% [markdown]
# The controls: rank correlations of the score, within each domain, with the document's length and with its base loss.
# Near 1 or -1, the score says little that the length or the loss had not said already.

# %%
controls = spark.sql(
    """
    with ranked as (
        select
            r.domain,
            rank() over (partition by r.domain order by r.influence_score) as score_rank,
            rank() over (partition by r.domain order by r.num_tokens) as length_rank,
            rank() over (partition by r.domain order by s.base_loss) as loss_rank
        from rankings r
        join scores s using (scorer_id, doc_id, text_sha256)
        where s.status = 'scored'
    )
    select
        domain,
        count(*) as num_documents,
        round(try_divide(covar_pop(score_rank, length_rank), stddev_pop(score_rank) * stddev_pop(length_rank)), 2)
            as with_length,
        round(try_divide(covar_pop(score_rank, loss_rank), stddev_pop(score_rank) * stddev_pop(loss_rank)), 2)
            as with_base_loss
    from ranked
    group by domain
    order by domain
    """
)
controls.show()

# %% [markdown]
# The best of each domain, with their titles.

# %%
best = spark.sql(
    """
    select r.domain, r.domain_rank, round(r.influence_score, 3) as score, r.num_tokens, c.source
    from rankings r
    join corpus c using (doc_id)
    where r.domain_rank <= 3
    order by r.domain, r.domain_rank
    """
)
best.show(truncate=60)
