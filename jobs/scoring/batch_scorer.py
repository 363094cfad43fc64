"""Documents in batches, each of which is one commit of scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from jobs.scoring.bisection import Bisection
from jobs.scoring.budget import commit_bytes, read_bytes
from jobs.scoring.commit import Counts, ScoresWriter, Transaction
from jobs.scoring.failures import stop_if_too_many_failed
from jobs.scoring.pending import Buckets, bucket_of, ranges, with_attempts
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.run_log import RunLog
from jobs.spark.caching import persisted
from jobs.spark.namespace import Namespace
from jobs.spark.time_travel import read_at_version
from jobs.terminal.progress import Tracker
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class BatchScorer:
    """Scores documents in batches that are committed one by one, and counts them in the log and on the bar."""

    def __init__(self, namespace: Namespace, plan: ScoringPlan, *, log: RunLog, bar: Tracker) -> None:
        self.namespace, self.plan, self.log, self.bar = namespace, plan, log, bar
        self.writer = ScoresWriter(namespace, plan, log.run_id)
        self.commits = Bisection(self.writer, self._count)

    def score(self, spark: SparkSession, documents: DataFrame, transaction: Transaction | None = None) -> None:
        """Score those of the documents that are not scored yet; a killed run loses the batch that it is in, at most.

        transaction: of the stream that the documents are the next part of; None where they are all of the run's.
        """
        pending, total = self._pending(spark, documents, is_all=transaction is None)
        for part in ranges(pending, lambda: read_bytes(self.plan)):
            with self._read(spark, documents, part, total=total) as of_part:
                for batch in ranges(part, lambda: commit_bytes(self.plan, self.log, total)):
                    with self.log.scoring():
                        self.commits.commit_buckets(spark, of_part, batch, transaction=transaction)
                    self.log.record("running")
                    stop_if_too_many_failed(self.log, self.plan.max_failed_fraction)

    def _pending(self, spark: SparkSession, documents: DataFrame, *, is_all: bool) -> tuple[Buckets, int]:
        """The buckets that hold something to do, and the run's bytes of text, estimated from theirs."""
        is_to_do = F.col("attempt").isNotNull()
        buckets = self.writer.with_attempts(spark, documents).groupBy(bucket_of().alias("bucket"))
        rows = buckets.agg(
            F.count_if(is_to_do).alias("num_documents"),
            F.coalesce(F.sum(F.when(is_to_do, F.col("num_bytes"))), F.lit(0)).alias("num_bytes"),
            F.count_if(~is_to_do).alias("num_skipped"),
            F.count_if(F.col("doc_id").isNull()).alias("num_without_id"),
        ).collect()
        self._require_ids(sum(row["num_without_id"] for row in rows))
        self.log.skip(sum(row["num_skipped"] for row in rows))
        num_to_do = sum(row["num_documents"] for row in rows)
        expected = self.log.expect(num_to_do, is_all=is_all)
        self.bar.expect(expected)
        pending = sorted((row["bucket"], row["num_bytes"]) for row in rows if row["num_documents"])
        # As if all documents of the run were as long as these.
        return pending, sum(num_bytes for _, num_bytes in pending) * expected // max(1, num_to_do)

    @contextmanager
    def _read(self, spark: SparkSession, documents: DataFrame, part: Buckets, *, total: int) -> Iterator[DataFrame]:
        """The documents of the part's buckets, persisted where they take several commits."""
        if sum(num_bytes for _, num_bytes in part) <= commit_bytes(self.plan, self.log, total):
            yield documents
            return
        # At one version: Delta has everything that was made of the newest one computed again after each commit.
        table, _ = read_at_version(spark, self.namespace.identifier(scores.TABLE.name))
        of_part = documents.filter(bucket_of().between(part[0][0], part[-1][0]))
        to_do = with_attempts(table, of_part, self.plan).filter("attempt is not null")
        # Read now: otherwise reading would count as time of the first commit, and make the next ones small.
        with persisted(to_do.drop("attempt"), now=True) as rows:
            yield rows

    def _require_ids(self, num_without_id: int) -> None:
        if num_without_id:
            raise ValueError(
                f"{num_without_id:,} of the documents that are next in {self.log.source} have no id: column "
                f"{self.plan.doc_id_column!r} is null; give each an id of its own, or delete them, and run score once "
                "with --mode reconcile; or name another column with --doc-id-column"
            )

    def _count(self, counts: Counts) -> None:
        self.log.add(counts)
        self.bar.advance(sum(counts[status] for status in scores.STATUSES))
