"""From documents to rows of `scores`: the model as a column, a commit a batch, by halves where workers fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F

from jobs.scoring.pending import NUM_BUCKETS, Buckets, bucket_of, ranges, with_attempts
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.run_log import RunLog
from jobs.scoring.score_rows import score_rows, totals, unread_rows
from jobs.spark.caching import persisted
from jobs.spark.conflicts import is_conflict, retry_conflicts
from jobs.spark.namespace import Namespace
from jobs.spark.time_travel import read_at_version
from jobs.spark.worker_errors import worker_errors, worker_failure, workers_fail
from jobs.terminal.progress import Tracker
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Of each model at work: the smallest batch, and the first of a run, before its speed is known, in bytes of text.
MIN_BATCH_BYTES = 32 * 2**10
# Text that is read at once for each task, in bytes: it waits on disk for its commits, which would else each read all of
# the source.
READ_BYTES = 4 * 2**30
# Enough commits in a run to see how far it is.
MIN_BATCHES = 20
# A document at which workers fail so often, alone, is taken for the cause.
MAX_WORKER_FAILURES = 3
# How long Spark may take to hand over the counts of a commit that is done, in seconds.
COUNTS_TIMEOUT = 60.0


@dataclass(frozen=True)
class Transaction:
    """What makes a commit happen once: Delta passes over a version that it has seen, or a later one, of app_id."""

    app_id: str
    epoch: int

    def options(self, last_bucket: int) -> dict[str, str]:
        """The write options of the commit that ends with this bucket; buckets are committed in ascending order."""
        return {"txnAppId": self.app_id, "txnVersion": str(self.epoch * NUM_BUCKETS + last_bucket)}


class BatchScorer:
    """Scores documents in batches that are committed one by one, and counts them in the log and on the bar."""

    def __init__(self, namespace: Namespace, plan: ScoringPlan, log: RunLog, bar: Tracker) -> None:
        self.namespace, self.plan, self.log, self.bar = namespace, plan, log, bar

    def score(self, spark: SparkSession, documents: DataFrame, transaction: Transaction | None = None) -> None:
        """Score what of the documents is not scored yet; a killed run loses the batch that it is in, and no more."""
        bucket = bucket_of().alias("bucket")
        is_to_do = F.col("attempt").isNotNull()
        counts = self._with_attempts(spark, documents).groupBy(bucket)
        rows = counts.agg(
            F.count_if(is_to_do).alias("num_documents"),
            F.coalesce(F.sum(F.when(is_to_do, F.col("num_bytes"))), F.lit(0)).alias("num_bytes"),
            F.count_if(~is_to_do).alias("num_skipped"),
            F.count_if(F.col("doc_id").isNull()).alias("num_without_id"),
        ).collect()
        self._require_ids(sum(row["num_without_id"] for row in rows))
        self.log.num_skipped += sum(row["num_skipped"] for row in rows)
        num_to_do = sum(row["num_documents"] for row in rows)
        expected = self.log.expect(num_to_do, is_all=transaction is None)
        self.bar.expect(expected)
        pending = sorted((row["bucket"], row["num_bytes"]) for row in rows if row["num_documents"])
        # Of the run, as if all its documents were as long as these.
        total = sum(num_bytes for _, num_bytes in pending) * expected // max(1, num_to_do)
        for part in ranges(pending, lambda: READ_BYTES * self.plan.tasks):
            with self._read(spark, documents, part, total) as of_part:
                for batch in ranges(part, lambda: self._batch_bytes(total)):
                    with self.log.scoring():
                        self._score_buckets(spark, of_part, batch, transaction)
                    self.log.record("running")
                    self.log.stop_if_too_many_failed()

    @contextmanager
    def _read(self, spark: SparkSession, documents: DataFrame, part: Buckets, total: int) -> Iterator[DataFrame]:
        """The documents of the part's buckets, kept on disk where they take several commits."""
        if sum(num_bytes for _, num_bytes in part) <= self._batch_bytes(total):
            yield documents
            return
        # At one version: Delta has whatever is kept of the newest one computed again after each commit.
        table, _ = read_at_version(spark, self.namespace.identifier(scores.TABLE.name))
        of_part = documents.filter(bucket_of().between(part[0][0], part[-1][0]))
        to_do = with_attempts(table, of_part, self.plan.scorer_id, self.plan.max_attempts)
        # Read now: it would count as time of the first commit, and make the next ones small.
        with persisted(to_do.filter("attempt is not null").drop("attempt"), now=True) as rows:
            yield rows

    def _require_ids(self, num_without_id: int) -> None:
        if num_without_id:
            raise ValueError(
                f"{num_without_id:,} of the documents that are next in {self.log.source} have no id: column "
                f"{self.plan.doc_id_column!r} is null; give each an id of its own, or delete them, and run score once "
                "with --mode reconcile; or name another column with --doc-id-column"
            )

    def _batch_bytes(self, total: int) -> int:
        """Text in the next commit, of a run that scores total bytes."""
        if self.plan.batch_bytes is not None:
            return self.plan.batch_bytes
        # Not fewer documents than models: one is scored by one of them.
        smallest = self.log.num_devices * max(MIN_BATCH_BYTES, total // (self.log.num_to_do or 1))
        speed = self.log.bytes_per_second
        if speed is None:
            return smallest
        return max(smallest, min(total // MIN_BATCHES, int(speed * 60 * self.plan.batch_minutes)))

    def _score_buckets(
        self, spark: SparkSession, documents: DataFrame, buckets: Buckets, transaction: Transaction | None
    ) -> None:
        """Score consecutive buckets in a commit; by halves where a worker fails at one of their documents."""
        first, last = buckets[0][0], buckets[-1][0]
        of_range = documents.filter(bucket_of().between(first, last))
        if self._commit(spark, of_range, transaction.options(last) if transaction else {}) == "":
            return
        if len(buckets) > 1:
            middle = len(buckets) // 2
            self._score_buckets(spark, documents, buckets[:middle], transaction)
            self._score_buckets(spark, documents, buckets[middle:], transaction)
            return
        # As bytes: not every id is text to Python.
        to_do = self._to_do(spark, of_range).select(F.col("doc_id").cast("binary")).distinct().collect()
        self._score_ids(spark, of_range, sorted(bytes(row["doc_id"]) for row in to_do))

    def _score_ids(self, spark: SparkSession, documents: DataFrame, doc_ids: list[bytes]) -> None:
        """Score the documents of these ids, by halves; one that workers fail at, alone, gets a row that says so."""
        # A list of as many literals would take the planner minutes.
        ids = spark.createDataFrame([(doc_id,) for doc_id in doc_ids], "id_bytes binary")
        of_ids = documents.join(ids, documents.doc_id.cast("binary") == ids.id_bytes, "left_semi")
        for _ in range(MAX_WORKER_FAILURES if len(doc_ids) == 1 else 1):
            failure = self._commit(spark, of_ids, {})
            if failure == "":
                return
        if len(doc_ids) == 1:
            self._mark(spark, of_ids, failure)
            return
        middle = len(doc_ids) // 2
        self._score_ids(spark, documents, doc_ids[:middle])
        self._score_ids(spark, documents, doc_ids[middle:])

    def _commit(self, spark: SparkSession, documents: DataFrame, options: dict[str, str]) -> str:
        """Score and append the documents, and count them; returns what ended a worker at it, or nothing."""

        def append() -> dict[str, Any]:
            # Looked up anew each time: the append conflicts with whatever was added to scores since it was read.
            pending = self._to_do(spark, documents)
            counts = Observation()
            rows = score_rows(pending.repartition(self.plan.tasks), self.plan, self.log.run_id)
            # Few files, however many tasks. By id: a task that runs again may score a hair differently, and must still
            # send each row where it was sent before. Counted behind that, where no task's counts are added twice.
            self._append(rows.hint("rebalance", "doc_id").observe(counts, *totals()), options)
            return self._counted(spark, documents, counts, options)

        try:
            with worker_errors():
                counts = retry_conflicts(append)
        except Exception as error:
            failure = worker_failure(error)
            if is_conflict(error) or failure is None:
                raise
            self._require_living_workers(spark)
            return failure
        self._add(counts)
        return ""

    def _require_living_workers(self, spark: SparkSession) -> None:
        """Raise ValueError where workers fail at any text: it is then no document's fault."""
        text = spark.createDataFrame([("Is anybody there?",)], "text string")
        try:
            # As many tasks as a commit has: each loads a model, whether it has a text or not.
            text.repartition(self.plan.tasks).select(self.plan.paired_scores("text")).collect()
        except Exception as error:
            failure = worker_failure(error)
            if failure is None:
                raise
            raise workers_fail(failure, self.plan.tasks) from error

    def _mark(self, spark: SparkSession, documents: DataFrame, failure: str) -> None:
        """Write the row of a document that workers fail at."""
        message = F.lit(f"a Python worker failed {MAX_WORKER_FAILURES} times while it scored this document: {failure}")

        def append() -> dict[str, Any]:
            pending = self._to_do(spark, documents)
            counts = Observation()
            rows = unread_rows(pending, F.lit("WorkerDied"), message, self.plan, self.log.run_id)
            self._append(rows.observe(counts, *totals()), {})
            return self._counted(spark, documents, counts, {})

        self._add(retry_conflicts(append))

    def _with_attempts(self, spark: SparkSession, documents: DataFrame) -> DataFrame:
        table = self.namespace.read(spark, scores.TABLE)
        return with_attempts(table, documents, self.plan.scorer_id, self.plan.max_attempts)

    def _to_do(self, spark: SparkSession, documents: DataFrame) -> DataFrame:
        return self._with_attempts(spark, documents).filter("attempt is not null")

    def _append(self, rows: DataFrame, options: dict[str, str]) -> None:
        self.namespace.append(rows.drop("num_bytes"), scores.TABLE, options)

    def _counted(
        self, spark: SparkSession, documents: DataFrame, observation: Observation, options: dict[str, str]
    ) -> dict[str, Any]:
        """What was counted while the documents were written; nothing where a run of this checkpoint was faster."""
        counts = self.log.wait_for(lambda: observation.get, COUNTS_TIMEOUT)
        if counts is not None:
            return counts
        if options and not self._to_do(spark, documents).isEmpty():
            raise ValueError(
                "scores lacks rows that this checkpoint has committed: the table was restored or rows were deleted; "
                "run score with --mode reconcile once"
            )
        table = self.namespace.read(spark, scores.TABLE)
        num_bytes = documents.select("doc_id", "text_sha256", "num_bytes").distinct()
        ours = table.filter(table.run_id == self.log.run_id).join(num_bytes, on=["doc_id", "text_sha256"], how="inner")
        return ours.agg(*totals()).collect()[0].asDict()

    def _add(self, counts: dict[str, Any]) -> None:
        self.log.add(counts)
        self.bar.advance(sum(counts[status] for status in scores.STATUSES))
