"""One append to `scores`, and the counts of what it added."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F

from jobs.scoring.pending import NUM_BUCKETS, with_attempts
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.score_rows import score_rows, totals, unread_rows
from jobs.spark.conflicts import retry_conflicts
from jobs.spark.namespace import Namespace
from jobs.spark.tasks import adaptive_plans
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# The totals of a commit by name, as score_rows.totals lists them.
Counts = dict[str, Any]
# How long Spark may take to hand over the counts of a commit that is done, in seconds.
COUNTS_TIMEOUT = 60.0


@dataclass(frozen=True)
class Transaction:
    """What makes a commit happen once: Delta skips a commit if it has seen its version, or a later one, of app_id."""

    app_id: str
    epoch: int

    def options(self, last_bucket: int) -> dict[str, str]:
        """The write options of the commit that ends with this bucket; buckets are committed in ascending order."""
        return {"txnAppId": self.app_id, "txnVersion": str(self.epoch * NUM_BUCKETS + last_bucket)}


@dataclass(frozen=True)
class ScoresWriter:
    """Appends to `scores` what a run makes of documents, one commit per call, and returns the commit's counts."""

    namespace: Namespace
    plan: ScoringPlan
    run_id: str

    def with_attempts(self, spark: SparkSession, documents: DataFrame) -> DataFrame:
        """The documents with `attempt`, null where there is nothing to do, by the scores that there are now."""
        return with_attempts(self.namespace.read(spark, scores.TABLE), documents, self.plan)

    def pending(self, spark: SparkSession, documents: DataFrame) -> DataFrame:
        """Those of the documents that are still to be scored, with `attempt`."""
        return self.with_attempts(spark, documents).filter("attempt is not null")

    def append_scores(self, spark: SparkSession, documents: DataFrame, options: dict[str, str]) -> Counts:
        """Score those of the documents that are pending. options: of a Transaction, or none."""

        def rows(pending: DataFrame) -> DataFrame:
            scored = score_rows(pending.repartition(self.plan.tasks), self.plan, self.run_id)
            # Few files, however many tasks there are. By id: a task that runs again may score a hair differently, and
            # must still send each row to where it was sent before.
            return scored.hint("rebalance", "doc_id")

        return self._append(spark, documents, make_rows=rows, options=options)

    def append_failures(self, spark: SparkSession, documents: DataFrame, error_class: str, message: str) -> Counts:
        """Write a failed row for each of the documents that is pending, without the model."""

        def rows(pending: DataFrame) -> DataFrame:
            return unread_rows(
                pending, self.plan, self.run_id, error_class=F.lit(error_class), error_message=F.lit(message)
            )

        return self._append(spark, documents, make_rows=rows, options={})

    def _append(
        self,
        spark: SparkSession,
        documents: DataFrame,
        *,
        make_rows: Callable[[DataFrame], DataFrame],
        options: dict[str, str],
    ) -> Counts:
        def append() -> Counts:
            counts = Observation()
            with adaptive_plans(spark):  # Spark forgets the hint to rebalance where it is given without them.
                # Looked up anew in each try: the append conflicts with what was added to scores since they were read.
                # Counted after the rows were rebalanced, so that a task that runs again is not counted twice.
                rows = make_rows(self.pending(spark, documents)).observe(counts, *totals())
                self.namespace.append(rows.drop("num_bytes"), scores.TABLE, options)
            observed = wait_for_counts(counts, COUNTS_TIMEOUT)
            return self._count_again(spark, documents, options) if observed is None else observed

        return retry_conflicts(append)

    def _count_again(self, spark: SparkSession, documents: DataFrame, options: dict[str, str]) -> Counts:
        """The run's own rows of the documents; none where another run of the same checkpoint was faster."""
        if options and not self.pending(spark, documents).isEmpty():
            raise ValueError(
                "scores lacks rows that this checkpoint has committed: the table was restored or rows were deleted; "
                "run score with --mode reconcile once"
            )
        table = self.namespace.read(spark, scores.TABLE)
        num_bytes = documents.select("doc_id", "text_sha256", "num_bytes").distinct()
        ours = table.filter(table.run_id == self.run_id).join(num_bytes, on=["doc_id", "text_sha256"], how="inner")
        return ours.agg(*totals()).collect()[0].asDict()


def wait_for_counts(observation: Observation, timeout: float) -> Counts | None:
    """What was observed in a commit; None where that does not come: the commit wrote nothing, or Spark has lost it."""
    counts: list[Counts] = []

    def wait() -> None:
        # Where nothing was written, Spark waits for ever, or says that an assertion failed.
        with suppress(Exception):
            counts.append(observation.get)

    # A daemon, which does not keep the process from ending.
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(timeout)
    return counts[0] if counts else None
