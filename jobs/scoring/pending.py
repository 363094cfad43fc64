"""Which documents are still to be scored, and in which batches: ranges of buckets that ids fall into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from jobs.scoring.plan import ScoringPlan

# Documents fall into this many buckets by a hash of their id; a batch is a range of buckets.
NUM_BUCKETS = 4096
# Buckets that hold something to do, in ascending order, each with its bytes of text.
Buckets = list[tuple[int, int]]


def with_attempts(table: DataFrame | None, documents: DataFrame, plan: ScoringPlan) -> DataFrame:
    """The documents, each text once, with `attempt`: the number of the next one, or null where there is nothing to do.

    table: scores, or None where there is no such table yet.
    """
    distinct = documents.dropDuplicates(["doc_id", "text_sha256"])
    if table is None:
        return distinct.withColumn("attempt", F.lit(1))
    # Only the keys of these documents are shuffled, however many have been scored.
    earlier = table.filter(table.scorer_id == plan.scorer_id).join(
        documents.select("doc_id"), on="doc_id", how="left_semi"
    )
    attempts = earlier.groupBy("doc_id", "text_sha256").agg(
        F.max("attempt").alias("num_attempts"), F.bool_or(F.col("status") != "failed").alias("is_settled")
    )
    is_done = F.coalesce(F.col("is_settled") | (F.col("num_attempts") >= plan.max_attempts), F.lit(False))
    return distinct.join(attempts, on=["doc_id", "text_sha256"], how="left").select(
        *documents.columns, F.when(~is_done, F.coalesce("num_attempts", F.lit(0)) + 1).alias("attempt")
    )


def bucket_of(doc_id: str = "doc_id") -> Column:
    """The document's bucket, from 0 to NUM_BUCKETS - 1."""
    return F.pmod(F.xxhash64(doc_id), F.lit(NUM_BUCKETS))


def ranges(pending: Buckets, limit: Callable[[], int]) -> Iterator[Buckets]:
    """The buckets in consecutive parts, each of at most limit bytes or of one bucket; limit is called anew per part."""
    index = 0
    while index < len(pending):
        first, num_bytes, most = index, 0, limit()
        while index < len(pending) and (num_bytes == 0 or num_bytes + pending[index][1] <= most):
            num_bytes += pending[index][1] or 1
            index += 1
        yield pending[first:index]
