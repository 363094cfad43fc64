"""The two ways to find what is to be scored: follow the source's log, or compare all of it with the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.documents import DocumentSource, check_ids, documents_of
from jobs.progress import progress
from jobs.run_log import RunLog
from jobs.scoring import BatchScorer, ScoringPlan, Transaction, with_attempts
from jobs.source import SourceTable, default_checkpoint, last_read_version, require_scores_only_grew
from jobs.stream import RECONCILE, Stream, score_new_documents
from jobs.tables import Namespace
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.score import ScoreSettings


def count_pending(spark: SparkSession, namespace: Namespace, documents: DataFrame, scorer_id: str) -> dict[str, Any]:
    """The scorer's id, and how many documents and bytes it has not scored; reads all of the source."""
    pending = with_attempts(spark, namespace, documents, scorer_id, 1).filter("attempt is not null")
    num_pending, num_bytes = pending.selectExpr("count(*)", "coalesce(sum(num_bytes), 0)").collect()[0]
    return {"scorer_id": scorer_id, "num_pending": num_pending, "num_bytes": num_bytes}


def require_no_surprise(
    spark: SparkSession,
    namespace: Namespace,
    settings: ScoreSettings,
    source: SourceTable,
    documents: DataFrame,
    scorer_id: str,
) -> None:
    """Raise ValueError, before any work, where the source cannot be scored in the mode that was asked for."""
    if settings.mode == "stream" and not settings.limit:
        if source.source_id is None:
            raise ValueError(f"{source.identifier} is no Delta table, which alone can be read as a stream; {RECONCILE}")
        require_scores_only_grew(spark, namespace, scorer_id)
    if last_read_version(spark, namespace, source, scorer_id) is None:
        # The first time, an id that identifies nothing would cost the most.
        check_ids(documents)


def follow_source(
    spark: SparkSession,
    namespace: Namespace,
    settings: ScoreSettings,
    source: SourceTable,
    columns: DocumentSource,
    plan: ScoringPlan,
    log: RunLog,
) -> None:
    """Score what was added to the source since the last run."""
    if source.version is not None and last_read_version(spark, namespace, source, plan.scorer_id) == source.version:
        return
    compared = last_read_version(spark, namespace, source, plan.scorer_id, "reconcile")
    first_version = None if compared is None else compared + 1
    base = settings.checkpoint or default_checkpoint(spark, namespace)
    # Of one scorer, one table and one beginning: no checkpoint is ever used for another.
    folder = f"{base.rstrip('/')}/{plan.scorer_id}/{source.source_id}-from-{first_version or 0}"
    log.num_to_do = _num_to_do(spark, namespace, source, plan.scorer_id)
    with log.recorded():
        if first_version is None or first_version <= (source.version or 0):
            with progress("Scoring", total=log.num_to_do) as bar:
                batches = BatchScorer(namespace, plan, log, bar)

                def score(session: SparkSession, batch: DataFrame, stream_id: str, number: int) -> None:
                    batches.score(session, batch, Transaction(f"{plan.scorer_id}/{stream_id}", number))

                score_new_documents(spark, Stream(source, columns, folder, first_version), score)
        log.stop_if_too_many_failed(at_end=True)


def compare_all(
    spark: SparkSession,
    namespace: Namespace,
    settings: ScoreSettings,
    source: SourceTable,
    columns: DocumentSource,
    plan: ScoringPlan,
    log: RunLog,
) -> None:
    """Score whatever of the source, as it is now, has no score yet, or only failed attempts that may be repeated."""
    if source.version is None:
        table = spark.table(source.identifier)
    else:
        # Batches are read one after the other: all of the same version, whatever is written meanwhile.
        # The identifier is quoted, and the version a number.
        table = spark.sql(f"select * from {source.identifier} version as of {source.version:d}")  # noqa: S608
    documents = documents_of(table, columns)
    if settings.limit:
        pending = with_attempts(spark, namespace, documents, plan.scorer_id, plan.max_attempts)
        # Fixed now: the limit of a set that shrinks with each batch would go on to the next documents.
        first = pending.filter("attempt is not null").select("doc_id").orderBy("doc_id").limit(settings.limit).collect()
        documents = documents.filter(documents.doc_id.isin([row["doc_id"] for row in first]))
        log.num_to_do = len(first)
    else:
        log.num_to_do = _num_to_do(spark, namespace, source, plan.scorer_id)
    with log.recorded():
        with progress("Scoring", total=log.num_to_do) as bar:
            BatchScorer(namespace, plan, log, bar).score(spark, documents)
        log.stop_if_too_many_failed(at_end=True)


def _num_to_do(spark: SparkSession, namespace: Namespace, source: SourceTable, scorer_id: str) -> int | None:
    """Documents of the source less scores of the scorer, from the tables' statistics."""
    if source.num_documents is None:
        return None
    table = namespace.read(spark, scores.TABLE)
    return max(0, source.num_documents - table.filter(table.scorer_id == scorer_id).count())
