"""The two ways to find what is to be scored: follow the source's log, or compare all of it with the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.corpus.documents import check_ids, documents_of
from jobs.scoring.batch_scorer import BatchScorer, Transaction
from jobs.scoring.pending import with_attempts
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.run_log import RunLog
from jobs.scoring.source import (
    SourceTable,
    checkpoint_folder,
    last_read_version,
    require_scores_only_grew,
    runs_of,
    was_read_before,
)
from jobs.scoring.source_errors import RECONCILE, explained
from jobs.scoring.stream import Stream, score_new_documents
from jobs.settings.documents import DocumentTable
from jobs.spark.namespace import Namespace
from jobs.terminal.progress import progress
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.scoring.settings import ScoreSettings


@dataclass(frozen=True)
class Work:
    """What a run scores, with which scorer, and where the scores go.

    record_scorer: proves the scorer's model on plain text and records the scorer; called before work for a model.
    """

    spark: SparkSession
    namespace: Namespace
    settings: ScoreSettings
    columns: DocumentTable
    source: SourceTable
    scorer_id: str
    record_scorer: Callable[[], None]

    def pending(self, documents: DataFrame, max_attempts: int) -> DataFrame:
        """Which of the documents are still to be scored: the first by their ids, where there is a limit."""
        table = None
        if self.namespace.exists(self.spark, scores.TABLE.name):
            table = self.namespace.read(self.spark, scores.TABLE)
        attempts = with_attempts(table, documents, self.scorer_id, max_attempts)
        pending = attempts.filter("attempt is not null")
        limit = self.settings.limit
        return pending.orderBy("doc_id", "text_sha256").limit(limit) if limit else pending

    def num_to_do(self, own_runs: DataFrame) -> int:
        """Documents of the source less those that the scorer's runs on it say they have scored; about."""
        # Counted from the table's own statistics: no file is read where it has them.
        num_documents = self.spark.table(self.source.identifier).count()
        num_scored: int = own_runs.agg({"num_documents": "sum"}).collect()[0][0] or 0
        return max(0, num_documents - num_scored)


def count_pending(work: Work, plan: ScoringPlan, documents: DataFrame) -> dict[str, Any]:
    """The scorer's id, and how many documents and bytes a run would score; reads all of the source."""
    counts = work.pending(documents, plan.max_attempts).selectExpr("count(*)", "coalesce(sum(num_bytes), 0)")
    num_pending, num_bytes = counts.collect()[0]
    return {"scorer_id": work.scorer_id, "num_pending": num_pending, "num_bytes": num_bytes}


def require_no_surprise(work: Work, documents: DataFrame) -> None:
    """Raise ValueError, before any work, where the source cannot be scored in the mode that was asked for."""
    source = work.source
    if work.settings.mode == "stream" and not work.settings.limit and source.source_id is None:
        raise ValueError(f"{source.identifier} is no Delta table, which alone can be read as a stream; {RECONCILE}")
    if not was_read_before(work.spark, work.namespace, source):
        # An id that identifies nothing would cost the most; later, it may come again, with another text.
        check_ids(documents)


def follow_source(work: Work, plan: ScoringPlan, log: RunLog) -> None:
    """Score what was added to the source since the last run."""
    source = work.source
    own_runs = runs_of(work.spark, work.namespace, source, work.scorer_id)
    compared = last_read_version(own_runs, "reconcile")
    first_version = None if compared is None else compared + 1
    # A source without an id is refused before.
    reading = (work.scorer_id, source.source_id or "", first_version or 0)
    folder = checkpoint_folder(work.spark, work.namespace, work.settings.checkpoint, *reading)
    require_scores_only_grew(work.spark, work.namespace, own_runs, folder)
    if last_read_version(own_runs) == source.version:
        return
    log.num_to_do = work.num_to_do(own_runs)
    with log.recorded():
        if first_version is None or first_version <= (source.version or 0):
            work.record_scorer()
            with progress("Scoring", total=log.num_to_do) as bar:
                batches = BatchScorer(work.namespace, plan, log, bar)

                def score(session: SparkSession, batch: DataFrame, stream_id: str, number: int) -> None:
                    batches.score(session, batch, Transaction(f"{plan.scorer_id}/{stream_id}", number))

                stream = Stream(source, work.columns, folder, first_version, plan.tasks)
                score_new_documents(work.spark, stream, score)
        log.stop_if_too_many_failed(at_end=True)


def compare_all(work: Work, plan: ScoringPlan, log: RunLog) -> None:
    """Score whatever of the source, as it is now, has no score yet, or only failed attempts that may be repeated."""
    source = work.source
    if source.version is None:
        table = work.spark.table(source.identifier)
    else:
        # Batches are read one after the other: all of the same version, whatever is written meanwhile.
        # The identifier is quoted, and the version a number.
        table = work.spark.sql(f"select * from {source.identifier} version as of {source.version:d}")  # noqa: S608
    documents = documents_of(table, work.columns)
    with log.recorded():
        # Not only when something is found to score: reading all of the source for that takes longer.
        work.record_scorer()
        with progress("Scoring") as bar:
            try:
                if work.settings.limit:
                    documents = _only(work.pending(documents, plan.max_attempts), documents)
                BatchScorer(work.namespace, plan, log, bar).score(work.spark, documents)
            except Exception as error:
                raise explained(error, source.identifier) from error
        log.stop_if_too_many_failed(at_end=True)


def _only(pending: DataFrame, documents: DataFrame) -> DataFrame:
    """The documents that are pending now, among them any without an id, so that it is named.

    Fixed here: the limit of a set that shrinks with each batch would go on to the next documents.
    """
    from pyspark.sql import functions as F

    # As bytes: not every id is text to Python.
    keys = pending.select(F.col("doc_id").cast("binary").alias("id_bytes"), "text_sha256")
    # A small table, not a condition that names each: that takes minutes to write down for many.
    fixed = F.broadcast(pending.sparkSession.createDataFrame(keys.collect(), keys.schema))
    is_same = documents.doc_id.cast("binary").eqNullSafe(fixed.id_bytes) & (documents.text_sha256 == fixed.text_sha256)
    return documents.join(fixed, on=is_same, how="left_semi")
