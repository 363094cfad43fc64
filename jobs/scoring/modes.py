"""The two ways to find what is to be scored: follow the source's log, or compare all of it with the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.corpus.documents import check_ids
from jobs.scoring.batch_scorer import BatchScorer
from jobs.scoring.commit import Transaction
from jobs.scoring.failures import stop_if_too_many_failed
from jobs.scoring.history import RunHistory, checkpoint_folder, require_same_source, require_scores_only_grew
from jobs.scoring.pending import with_attempts
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.run_log import RunLog
from jobs.scoring.source import SourceTable
from jobs.scoring.source_errors import RECONCILE, explained
from jobs.scoring.stream import Stream, score_new_documents
from jobs.spark.namespace import Namespace
from jobs.terminal.progress import progress
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.scoring.settings import ScoreSettings


@dataclass(frozen=True)
class ScoringRun:
    """What a run scores and how, and where the scores go.

    history: what earlier runs say of the source. record_scorer: checks the scorer's model on plain text and records
    the scorer; called before the model is needed.
    """

    spark: SparkSession
    namespace: Namespace
    settings: ScoreSettings
    source: SourceTable
    plan: ScoringPlan
    history: RunHistory
    record_scorer: Callable[[], None]

    def pending(self) -> DataFrame:
        """The source's documents that are still to be scored: the first by their ids, where there is a limit."""
        table = None
        if self.namespace.exists(self.spark, scores.TABLE.name):
            table = self.namespace.read(self.spark, scores.TABLE)
        attempts = with_attempts(table, self.source.documents, self.plan)
        pending = attempts.filter("attempt is not null")
        limit = self.settings.limit
        return pending.orderBy("doc_id", "text_sha256").limit(limit) if limit else pending

    def num_to_do(self) -> int:
        """Documents of the source less those that the scorer's runs on it say they have scored; about."""
        # Counted from the table's own statistics: no file is read where it has them.
        return max(0, self.spark.table(self.source.identifier).count() - self.history.num_documents)


def count_pending(run: ScoringRun) -> dict[str, Any]:
    """The scorer's id, and how many documents and bytes a run would score; reads all of the source."""
    num_pending, num_bytes = run.pending().selectExpr("count(*)", "coalesce(sum(num_bytes), 0)").collect()[0]
    return {"scorer_id": run.plan.scorer_id, "num_pending": num_pending, "num_bytes": num_bytes}


def require_no_surprise(run: ScoringRun) -> None:
    """Raise ValueError, before any work, where the source cannot be scored in the mode that was asked for."""
    source = run.source
    if run.settings.mode == "stream" and not run.settings.limit and source.source_id is None:
        raise ValueError(f"{source.identifier} is no Delta table, which alone can be read as a stream; {RECONCILE}")
    if not run.history.was_read:
        # Only before the first run on a source: a wrong column would cost the most then, and later an id may well come
        # again, with another text.
        check_ids(source.documents)


def follow_source(run: ScoringRun, log: RunLog) -> None:
    """Score what was added to the source since the last run."""
    source, plan, history = run.source, run.plan, run.history
    require_same_source(run.spark, history, source)
    first_version = None if history.last_compared is None else history.last_compared + 1
    folder = checkpoint_folder(
        run.spark,
        run.namespace,
        run.settings.checkpoint,
        scorer_id=plan.scorer_id,
        # require_no_surprise refuses a source without an id.
        source_id=source.source_id or "",
        history=history,
    )
    require_scores_only_grew(run.spark, run.namespace, history, checkpoint=folder)
    if history.last_version == source.version:
        return
    num_to_do = run.num_to_do()
    log.estimate_to_do(num_to_do)
    with log.recorded():
        if first_version is None or first_version <= (source.version or 0):
            run.record_scorer()
            with progress("Scoring", total=num_to_do) as bar:
                scorer = BatchScorer(run.namespace, plan, log=log, bar=bar)

                def score(session: SparkSession, batch: DataFrame, stream_id: str, number: int) -> None:
                    scorer.score(session, batch, Transaction(f"{plan.scorer_id}/{stream_id}", number))

                stream = Stream(source, checkpoint=folder, first_version=first_version, tasks=plan.tasks)
                score_new_documents(run.spark, stream, score)
        stop_if_too_many_failed(log, plan.max_failed_fraction, at_end=True)


def compare_all(run: ScoringRun, log: RunLog) -> None:
    """Score whatever of the source, as it is now, has no score yet, or only failed attempts that may be repeated."""
    with log.recorded():
        # Even if nothing turns out to be pending: finding that out reads all of the source, which takes longer.
        run.record_scorer()
        with progress("Scoring") as bar:
            try:
                documents = run.source.documents
                if run.settings.limit:
                    documents = _only(run.pending(), documents)
                BatchScorer(run.namespace, run.plan, log=log, bar=bar).score(run.spark, documents)
            except Exception as error:
                raise explained(error, run.source.identifier) from error
        stop_if_too_many_failed(log, run.plan.max_failed_fraction, at_end=True)


def _only(pending: DataFrame, documents: DataFrame) -> DataFrame:
    """The documents that are pending now, among them any without an id, so that an error names it.

    They are fixed here: documents become fewer with each batch, and a limit of those would go on to the next ones.
    """
    from pyspark.sql import functions as F

    # As bytes: not every id is text to Python.
    keys = pending.select(F.col("doc_id").cast("binary").alias("id_bytes"), "text_sha256")
    # A small table, not a condition that names each document: for many, such a condition takes minutes to plan.
    fixed = F.broadcast(pending.sparkSession.createDataFrame(keys.collect(), keys.schema))
    is_same = documents.doc_id.cast("binary").eqNullSafe(fixed.id_bytes) & (documents.text_sha256 == fixed.text_sha256)
    return documents.join(fixed, on=is_same, how="left_semi")
