"""From documents to rows of `scores`: what is still to do, the model as a column, and a commit a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F

from jobs.failures import is_conflict, is_worker_death, retry_conflicts, worker_errors
from jobs.progress import Tracker
from jobs.run_log import RunLog
from jobs.score_rows import score_rows, totals, unread_rows
from jobs.tables import Namespace
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# Documents fall into so many buckets by a hash of their id; a batch is a range of buckets.
NUM_BUCKETS = 4096
# The smallest batch, and the first of a run, before its speed is known, in bytes of text.
MIN_BATCH_BYTES = 32 * 2**10
# Enough commits in what is read at once to see how far a run is.
MIN_BATCHES = 20
# A worker that dies this often with a document takes the document for the cause.
MAX_DEATHS = 3
# How long Spark may take to hand over the counts of a commit that is done, in seconds.
COUNTS_TIMEOUT = 60.0


@dataclass(frozen=True)
class ScoringPlan:
    """How documents become scores: the model's pandas_udf and the limits around it.

    batch_bytes: text in a commit; None takes what batch_minutes of work are at the speed so far. A document whose
    attempts all failed is tried again while there are fewer than max_attempts. doc_id_column: the id's name in the
    source, for messages.
    """

    scorer_id: str
    paired_scores: Any
    tasks: int
    max_text_bytes: int
    batch_bytes: int | None = None
    batch_minutes: float = 10.0
    max_attempts: int = 1
    doc_id_column: str = "doc_id"


@dataclass(frozen=True)
class Transaction:
    """What makes a commit happen once: Delta passes over a version that it has seen, or a later one, of app_id."""

    app_id: str
    epoch: int

    def options(self, last_bucket: int) -> dict[str, str]:
        """The write options of the commit that ends with this bucket; buckets are committed in ascending order."""
        return {"txnAppId": self.app_id, "txnVersion": str(self.epoch * NUM_BUCKETS + last_bucket)}


def with_attempts(
    spark: SparkSession, namespace: Namespace, documents: DataFrame, scorer_id: str, max_attempts: int
) -> DataFrame:
    """The documents, each text once, with `attempt`: which one is next, or null where there is nothing to do."""
    distinct = documents.dropDuplicates(["doc_id", "text_sha256"])
    if not namespace.exists(spark, scores.TABLE.name):
        return distinct.withColumn("attempt", F.lit(1))
    table = namespace.read(spark, scores.TABLE)
    # Only the keys of these documents are shuffled, however many have been scored.
    earlier = table.filter(table.scorer_id == scorer_id).join(documents.select("doc_id"), on="doc_id", how="left_semi")
    attempts = earlier.groupBy("doc_id", "text_sha256").agg(
        F.max("attempt").alias("num_attempts"), F.bool_or(F.col("status") != "failed").alias("is_settled")
    )
    is_done = F.coalesce(F.col("is_settled") | (F.col("num_attempts") >= max_attempts), F.lit(False))
    return distinct.join(attempts, on=["doc_id", "text_sha256"], how="left").select(
        *documents.columns, F.when(~is_done, F.coalesce("num_attempts", F.lit(0)) + 1).alias("attempt")
    )


def bucket_of(doc_id: str = "doc_id") -> Column:
    """The document's bucket, from 0 to NUM_BUCKETS - 1."""
    return F.pmod(F.xxhash64(doc_id), F.lit(NUM_BUCKETS))


class BatchScorer:
    """Scores documents in batches that are committed one by one, and counts them in the log and on the bar."""

    def __init__(self, namespace: Namespace, plan: ScoringPlan, log: RunLog, bar: Tracker) -> None:
        self.namespace, self.plan, self.log, self.bar = namespace, plan, log, bar

    def score(self, spark: SparkSession, documents: DataFrame, transaction: Transaction | None = None) -> None:
        """Score what of the documents is not scored yet; a killed run loses the batch that it is in, and no more."""
        bucket = bucket_of().alias("bucket")
        to_do = F.col("attempt").isNotNull()
        counts = self._with_attempts(spark, documents).groupBy(bucket)
        rows = counts.agg(
            F.count_if(to_do).alias("num_documents"),
            F.coalesce(F.sum(F.when(to_do, F.col("num_bytes"))), F.lit(0)).alias("num_bytes"),
            F.count_if(~to_do).alias("num_skipped"),
            F.count_if(F.col("doc_id").isNull()).alias("num_without_id"),
        ).collect()
        self._require_ids(sum(row["num_without_id"] for row in rows))
        self.log.num_skipped += sum(row["num_skipped"] for row in rows)
        pending = sorted((row["bucket"], row["num_bytes"]) for row in rows if row["num_documents"])
        for first, last in self._ranges(pending):
            self._score_range(spark, documents, first, last, transaction, num_deaths=0)
            self.log.record("running")
            self.log.stop_if_too_many_failed()

    def _require_ids(self, num_without_id: int) -> None:
        if num_without_id:
            raise ValueError(
                f"{num_without_id:,} of the documents that are next in {self.log.source} have no id: column "
                f"{self.plan.doc_id_column!r} is null; give each an id of its own, or delete them, and run score once "
                "with --mode reconcile; or name another column with --doc-id-column"
            )

    def _ranges(self, pending: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """(first bucket, last bucket) of consecutive batches of buckets given with their bytes."""
        index, total = 0, sum(num_bytes for _, num_bytes in pending)
        while index < len(pending):
            first, num_bytes, limit = pending[index][0], 0, self._batch_bytes(total)
            while index < len(pending) and (num_bytes == 0 or num_bytes + pending[index][1] <= limit):
                num_bytes += pending[index][1] or 1
                index += 1
            yield first, pending[index - 1][0]

    def _batch_bytes(self, total: int) -> int:
        """Text in the next commit, of total bytes that are to be scored."""
        if self.plan.batch_bytes is not None:
            return self.plan.batch_bytes
        speed = self.log.bytes_per_second
        if speed is None:
            return MIN_BATCH_BYTES
        return max(MIN_BATCH_BYTES, min(total // MIN_BATCHES, int(speed * 60 * self.plan.batch_minutes)))

    def _score_range(
        self,
        spark: SparkSession,
        documents: DataFrame,
        first: int,
        last: int,
        transaction: Transaction | None,
        num_deaths: int,
    ) -> None:
        """Score the buckets from first to last in a commit; by halves where a worker dies of one of them."""
        of_range = documents.filter(bucket_of().between(first, last))
        options = transaction.options(last) if transaction else {}
        if self._commit(spark, of_range, options):
            return
        if first < last:
            middle = (first + last) // 2
            self._score_range(spark, documents, first, middle, transaction, num_deaths + 1)
            self._score_range(spark, documents, middle + 1, last, transaction, num_deaths + 1)
            return
        to_do = self._with_attempts(spark, of_range).filter("attempt is not null").select("doc_id").distinct().collect()
        self._score_ids(spark, of_range, sorted(row["doc_id"] for row in to_do), num_deaths + 1)

    def _score_ids(self, spark: SparkSession, documents: DataFrame, doc_ids: list[str], num_deaths: int) -> None:
        """Score the documents of these ids, by halves; the one that workers die of gets a row that says so."""
        of_ids = documents.filter(F.col("doc_id").isin(doc_ids))
        if len(doc_ids) == 1 and num_deaths >= MAX_DEATHS:
            self._mark(spark, of_ids)
        elif not self._commit(spark, of_ids, {}):
            middle = max(1, len(doc_ids) // 2)
            for part in (doc_ids[:middle], doc_ids[middle:]):
                if part:
                    self._score_ids(spark, documents, part, num_deaths + 1)

    def _commit(self, spark: SparkSession, documents: DataFrame, options: dict[str, str]) -> bool:
        """Score and append the documents, and count them; False when a Python worker or its executor died of it."""

        def append() -> dict[str, Any]:
            # Looked up anew each time: the append conflicts with whatever was added to scores since it was read.
            pending = self._with_attempts(spark, documents).filter("attempt is not null")
            counts = Observation()
            rows = score_rows(pending.repartition(self.plan.tasks), self.plan, self.log.run_id)
            self._append(rows.observe(counts, *totals()), options)
            return self._counted(spark, documents, counts)

        try:
            with worker_errors():
                counts = retry_conflicts(append)
        except Exception as error:
            if is_conflict(error) or not is_worker_death(error):
                raise
            return False
        self._add(counts)
        return True

    def _mark(self, spark: SparkSession, documents: DataFrame) -> None:
        """Write the row of a document that workers die of."""
        message = F.lit(f"a Python worker died {MAX_DEATHS} times while it scored this document")

        def append() -> dict[str, Any]:
            pending = self._with_attempts(spark, documents).filter("attempt is not null")
            counts = Observation()
            rows = unread_rows(pending, F.lit("WorkerDied"), message, self.plan, self.log.run_id)
            self._append(rows.observe(counts, *totals()), {})
            return self._counted(spark, documents, counts)

        self._add(retry_conflicts(append))

    def _with_attempts(self, spark: SparkSession, documents: DataFrame) -> DataFrame:
        return with_attempts(spark, self.namespace, documents, self.plan.scorer_id, self.plan.max_attempts)

    def _append(self, rows: DataFrame, options: dict[str, str]) -> None:
        self.namespace.append(rows.drop("num_bytes"), scores.TABLE, options)

    def _counted(self, spark: SparkSession, documents: DataFrame, observation: Observation) -> dict[str, Any]:
        """What was counted while the documents were written; nothing where a run of this checkpoint was faster."""
        counts = self.log.wait_for(lambda: observation.get, COUNTS_TIMEOUT)
        if counts is not None:
            return counts
        if not self._with_attempts(spark, documents).filter("attempt is not null").isEmpty():
            raise ValueError(
                "scores lacks rows that this checkpoint has committed: the table was restored or rows were deleted; "
                "run score with --mode reconcile once"
            )
        return dict.fromkeys((*scores.STATUSES, "num_tokens", "num_bytes", "num_float32_windows"), 0)

    def _add(self, counts: dict[str, Any]) -> None:
        self.log.add(counts)
        self.bar.advance(sum(counts[status] for status in scores.STATUSES))
