"""Connected components: which nodes of a graph are connected, directly or through others, by Spark SQL alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Rounds grow with the logarithm of the longest path: one of 100,000 nodes takes 13 in random order, and 17 at worst.
# Clusters of documents have shorter paths.
MAX_ROUNDS = 50


def connected_components(spark: SparkSession, edges: DataFrame, max_rounds: int = MAX_ROUNDS) -> DataFrame:
    """One row per node, but for the smallest of each component: node, and lower, the smallest node of its component.

    edges: node and lower, strings, with lower < node. Alternates two steps, large-star and small-star: both link nodes
    to smaller ones of the same component and never add edges. In the end, each is linked to the smallest alone.
    Raises ValueError when links still change after max_rounds.
    Source: Kiveris et al., Connected Components in MapReduce and Beyond, SoCC 2014.
    """
    # Each step is computed once: its plan would otherwise hold those of all steps before it.
    edges = edges.localCheckpoint()
    for _ in range(max_rounds + 1):
        unsettled = run_statement(spark, "deduplicating/unsettled_edges", edges=edges).collect()[0]["num_unsettled"]
        if not unsettled:
            return edges
        for step in ("deduplicating/large_star", "deduplicating/small_star"):
            edges = run_statement(spark, step, edges=edges).localCheckpoint()
    raise ValueError(
        f"clusters have not settled after {max_rounds} rounds, {unsettled:,} links still move; "
        "link fewer documents with a higher --similarity"
    )
