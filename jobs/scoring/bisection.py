"""Commits by halves where Python workers fail, down to the document at which they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from jobs.scoring.commit import Counts, ScoresWriter, Transaction
from jobs.scoring.pending import Buckets, bucket_of
from jobs.spark.conflicts import is_conflict
from jobs.spark.worker_errors import worker_errors, worker_failure, workers_fail

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A document is taken for the cause when workers fail this often at it alone.
MAX_WORKER_FAILURES = 3


@dataclass(frozen=True)
class Bisection:
    """Commits documents, and marks those at which workers fail. on_commit is given the counts of each commit."""

    writer: ScoresWriter
    on_commit: Callable[[Counts], None]

    def commit_buckets(
        self, spark: SparkSession, documents: DataFrame, buckets: Buckets, *, transaction: Transaction | None
    ) -> None:
        """Score consecutive buckets of the documents in one commit, or by halves where a worker fails."""
        first, last = buckets[0][0], buckets[-1][0]
        of_range = documents.filter(bucket_of().between(first, last))
        if self.commit(spark, of_range, transaction.options(last) if transaction else {}) is None:
            return
        if len(buckets) > 1:
            middle = len(buckets) // 2
            for half in (buckets[:middle], buckets[middle:]):
                self.commit_buckets(spark, documents, half, transaction=transaction)
            return
        # As bytes: not every id is text to Python.
        ids = self.writer.pending(spark, of_range).select(F.col("doc_id").cast("binary")).distinct().collect()
        self.commit_ids(spark, of_range, sorted(bytes(row["doc_id"]) for row in ids))

    def commit_ids(self, spark: SparkSession, documents: DataFrame, doc_ids: list[bytes]) -> None:
        """Score the documents of these ids in one commit, or by halves where a worker fails.

        A document at which workers fail although it is alone gets a row that says so.
        """
        # A list of as many literals would take the planner minutes.
        ids = spark.createDataFrame([(doc_id,) for doc_id in doc_ids], "id_bytes binary")
        of_ids = documents.join(ids, on=documents.doc_id.cast("binary") == ids.id_bytes, how="left_semi")
        for _ in range(MAX_WORKER_FAILURES if len(doc_ids) == 1 else 1):
            failure = self.commit(spark, of_ids, {})
            if failure is None:
                return
        if len(doc_ids) == 1:
            message = f"a Python worker failed {MAX_WORKER_FAILURES} times while it scored this document: {failure}"
            self.on_commit(self.writer.append_failures(spark, of_ids, error_class="WorkerDied", message=message))
            return
        middle = len(doc_ids) // 2
        for half in (doc_ids[:middle], doc_ids[middle:]):
            self.commit_ids(spark, documents, half)

    def commit(self, spark: SparkSession, documents: DataFrame, options: dict[str, str]) -> str | None:
        """Score the documents in one commit; returns None, or what ended a worker, and then nothing is committed.

        Raises ValueError where workers fail at any text.
        """
        try:
            with worker_errors():
                counts = self.writer.append_scores(spark, documents, options)
        except Exception as error:
            failure = worker_failure(error)
            if is_conflict(error) or failure is None:
                raise
            self._require_living_workers(spark)
            return failure
        self.on_commit(counts)
        return None

    def _require_living_workers(self, spark: SparkSession) -> None:
        """Raise ValueError where workers fail at any text: it is then no document's fault."""
        plan = self.writer.plan
        text = spark.createDataFrame([("Is anybody there?",)], "text string")
        try:
            # As many tasks as a commit has: each loads a model, whether it has a text or not.
            text.repartition(plan.tasks).select(plan.paired_scores("text")).collect()
        except Exception as error:
            failure = worker_failure(error)
            if failure is None:
                raise
            raise workers_fail(failure, plan.tasks) from error
