"""Score every document of a corpus, or of any Delta table, under a mask: once for each text and scorer."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.scoring.settings import ScoreSettings
from jobs.spark.namespace import Namespace
from jobs.spark.tasks import num_tasks, threads_per_task

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.scoring.plan import ScoringPlan
    from jobs.scoring.run_log import RunLog
    from jobs.scoring.scorers import Scorer
    from udfs.plausible import PlainTextFigures
    from udfs.spark_udfs import ScorerSpec


def run(settings: ScoreSettings, spark: SparkSession) -> dict[str, Any]:
    """Score what this scorer has not scored yet, batch by batch; a killed run loses one batch at most."""
    from jobs.corpus.documents import read_documents
    from jobs.scoring.modes import Work, compare_all, count_pending, follow_source, require_no_surprise
    from jobs.scoring.run_log import RunLog
    from jobs.scoring.scorers import resolve_scorer
    from jobs.scoring.source import find_source
    from jobs.spark.tasks import num_devices
    from schemas import corpus, runs, scores

    namespace = Namespace.parse(settings.namespace)
    columns = settings.document_table()
    documents = read_documents(spark, namespace, columns)
    scorer = resolve_scorer(settings, spark, namespace)
    figures = scorer.recorded_figures(spark, namespace, allow_implausible=settings.allow_implausible_model)
    source = find_source(spark, namespace, columns)
    plan = scoring_plan(settings, spark, scorer)
    record = partial(record_scorer, settings, spark, scorer, plan.tasks, figures)
    work = Work(spark, namespace, settings, columns, source, scorer.scorer_id, record)
    if settings.dry_run:
        return report(settings, count_pending(work, plan, documents), None)
    require_no_surprise(work, documents)
    for table in (scores.TABLE, runs.TABLE):
        namespace.create(spark, table)
    log = RunLog(
        spark,
        namespace,
        scorer.scorer_id,
        corpus.TABLE.name if source.identifier == namespace.identifier(corpus.TABLE.name) else source.identifier,
        settings.mode,
        source.source_id,
        # A run with a limit does not read all of the version.
        None if settings.limit else source.version,
        num_devices=num_devices(spark, plan.tasks),
        max_failed_fraction=settings.max_failed_fraction,
    )
    score_all = compare_all if settings.mode == "reconcile" or settings.limit else follow_source
    score_all(work, plan, log)
    return report(settings, {"scorer_id": scorer.scorer_id}, log)


def record_scorer(
    settings: ScoreSettings, spark: SparkSession, scorer: Scorer, tasks: int, figures: PlainTextFigures | None
) -> None:
    """Record the scorer with these figures of its model, or with those that a worker finds."""
    from jobs.scoring.scorers import measure_figures
    from udfs.spark_udfs import plain_text_udf

    if figures is None:
        figures = measure_figures(spark, plain_text_udf(scorer_spec(settings, spark, scorer, tasks)), tasks)
    scorer.record(spark, Namespace.parse(settings.namespace), figures)


def report(settings: ScoreSettings, counts: dict[str, Any], log: RunLog | None) -> dict[str, Any]:
    """Print what was done, or what would be, for a person or a program; returns it."""
    result = counts | (log.result() if log else {})
    line = log.summary() if log else "{num_pending:,} documents ({num_bytes:,} bytes) to score".format(**counts)
    print(json.dumps(result) if settings.json_output else line)
    return result


def scoring_plan(settings: ScoreSettings, spark: SparkSession, scorer: Scorer) -> ScoringPlan:
    """The scorer as a pandas_udf, and how much goes through it at a time."""
    from jobs.scoring.plan import ScoringPlan
    from udfs.spark_udfs import paired_score_udf

    tasks = num_tasks(spark, settings.tasks, scorer.checkpoint, max(scorer.window, settings.max_batch_tokens or 0))
    return ScoringPlan(
        scorer.scorer_id,
        paired_score_udf(scorer_spec(settings, spark, scorer, tasks)),
        tasks,
        settings.max_text_bytes,
        settings.batch_bytes,
        settings.batch_minutes,
        settings.max_attempts if settings.mode == "reconcile" else 1,
        settings.doc_id_column,
    )


def scorer_spec(settings: ScoreSettings, spark: SparkSession, scorer: Scorer, tasks: int) -> ScorerSpec:
    """How each of so many tasks makes the scorer."""
    from udfs.spark_udfs import ModelSpec, ScorerSpec

    threads = threads_per_task(spark, tasks)
    model = ModelSpec(scorer.checkpoint, scorer.dtype, threads, settings.allow_implausible_model)
    return ScorerSpec(
        model, scorer.heads, scorer.mask_mode, scorer.window, settings.max_batch_tokens, settings.compiled
    )
