"""Connected components: which nodes of a graph hang together, by Spark SQL alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A path of 100,000 nodes takes 13 in random order and 17 at worst, its logarithm; clusters of documents are flatter.
MAX_ROUNDS = 50


def connected_components(spark: SparkSession, edges: DataFrame, max_rounds: int = MAX_ROUNDS) -> DataFrame:
    """One row for each node but the smallest of its component: node, and lower, which is that smallest.

    edges: node and lower, strings, lower < node in each. Alternates large-star and small-star, which link every node
    closer to its smallest and never add edges; each step is cut off from the plan of those before it.
    Raises ValueError when nodes still move after max_rounds.
    Source: Kiveris et al., Connected Components in MapReduce and Beyond, SoCC 2014.
    """
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
