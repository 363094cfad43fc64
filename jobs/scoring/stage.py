"""Score every document of a corpus, or of any Delta table, with and without a mask: once per text and scorer."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.scoring.settings import ScoreSettings
from jobs.spark.namespace import Namespace
from jobs.spark.tasks import num_tasks, threads_per_task

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.scoring.modes import ScoringRun
    from jobs.scoring.plan import ScoringPlan
    from jobs.scoring.run_log import RunLog
    from jobs.scoring.scorers import Scorer
    from jobs.scoring.source import SourceTable
    from udfs.plausible import PlainTextFigures
    from udfs.spark_udfs import ScorerSpec


def run(settings: ScoreSettings, spark: SparkSession) -> dict[str, Any]:
    """Score what this scorer has not scored yet, batch by batch; a killed run loses one batch at most."""
    from jobs.scoring.history import has_read_all, read_history, scores_made_at
    from jobs.scoring.modes import ScoringRun
    from jobs.scoring.scorers import remembered_scorer, resolve_scorer
    from jobs.scoring.source import find_source

    namespace = Namespace.parse(settings.namespace)
    source = find_source(spark, namespace, settings.document_table())
    # With --checkpoint, a folder that is none would go unnoticed.
    is_following = settings.mode == "stream" and not (settings.limit or settings.dry_run or settings.checkpoint)
    known = remembered_scorer(spark, namespace, settings) if is_following else None
    if known and has_read_all(spark, namespace, source, scorer_id=known.scorer_id):
        log = new_log(spark, settings, source, scorer_id=known.scorer_id)
        return report(settings, {"scorer_id": known.scorer_id}, log)
    scorer = resolve_scorer(spark, namespace, settings)
    made = scores_made_at(spark, namespace)
    history = read_history(spark, namespace, source, scorer_id=scorer.scorer_id, since=made)
    figures = scorer.recorded_figures(spark, namespace, allow_implausible=settings.allow_implausible_model)
    plan = scoring_plan(spark, settings, scorer)
    scoring = ScoringRun(
        spark=spark,
        namespace=namespace,
        settings=settings,
        source=source,
        plan=plan,
        history=history,
        record_scorer=partial(record_scorer, spark, settings, scorer, tasks=plan.tasks, figures=figures),
    )
    return report(settings, *_score(scoring))


def _score(scoring: ScoringRun) -> tuple[dict[str, Any], RunLog | None]:
    """(what to report besides the log, the run's log, which a dry run does not have)."""
    from jobs.scoring.modes import compare_all, count_pending, follow_source, require_no_surprise
    from jobs.spark.tasks import num_devices
    from schemas import runs, scores

    spark, settings, plan = scoring.spark, scoring.settings, scoring.plan
    if settings.dry_run:
        return count_pending(scoring), None
    require_no_surprise(scoring)
    for table in (scores.TABLE, runs.TABLE):
        scoring.namespace.create(spark, table)
    log = new_log(spark, settings, scoring.source, scorer_id=plan.scorer_id, devices=num_devices(spark, plan.tasks))
    score_all = compare_all if settings.mode == "reconcile" or settings.limit else follow_source
    score_all(scoring, log)
    return {"scorer_id": plan.scorer_id}, log


def new_log(
    spark: SparkSession, settings: ScoreSettings, source: SourceTable, *, scorer_id: str, devices: int = 1
) -> RunLog:
    """The log of a run that begins now."""
    from jobs.scoring.run_log import RunLog
    from schemas import corpus

    namespace = Namespace.parse(settings.namespace)
    is_corpus = source.identifier == namespace.identifier(corpus.TABLE.name)
    return RunLog(
        spark=spark,
        namespace=namespace,
        scorer_id=scorer_id,
        source=corpus.TABLE.name if is_corpus else source.identifier,
        mode=settings.mode,
        source_id=source.source_id,
        # A run with a limit does not read all of the version.
        source_version=None if settings.limit else source.version,
        num_devices=devices,
    )


def record_scorer(
    spark: SparkSession, settings: ScoreSettings, scorer: Scorer, *, tasks: int, figures: PlainTextFigures | None
) -> None:
    """Record the scorer with what its model makes of plain text, measured by a worker.

    Not where there are figures: they have been read from the scorer's row.
    """
    from jobs.scoring.scorers import measure_figures
    from udfs.spark_udfs import plain_text_udf

    if figures is None:
        udf = plain_text_udf(scorer_spec(spark, settings, scorer, tasks=tasks))
        scorer.record(spark, Namespace.parse(settings.namespace), measure_figures(spark, udf, tasks))


def report(settings: ScoreSettings, counts: dict[str, Any], log: RunLog | None = None) -> dict[str, Any]:
    """Print what was done, or what would be, for a person or a program; returns it."""
    from jobs.scoring.run_report import run_result, run_summary

    result = counts | (run_result(log) if log else {})
    line = run_summary(log) if log else "{num_pending:,} documents ({num_bytes:,} bytes) to score".format(**counts)
    print(json.dumps(result) if settings.json_output else line)
    return result


def scoring_plan(spark: SparkSession, settings: ScoreSettings, scorer: Scorer) -> ScoringPlan:
    """The scorer as a pandas_udf, and how much goes through it at a time."""
    from jobs.scoring.plan import ScoringPlan
    from udfs.spark_udfs import paired_score_udf

    pass_tokens = max(scorer.window, settings.max_batch_tokens or 0)
    tasks = num_tasks(spark, asked=settings.tasks, checkpoint=scorer.checkpoint, pass_tokens=pass_tokens)
    return ScoringPlan(
        scorer_id=scorer.scorer_id,
        paired_scores=paired_score_udf(scorer_spec(spark, settings, scorer, tasks=tasks)),
        tasks=tasks,
        max_text_bytes=settings.max_text_bytes,
        batch_bytes=settings.batch_bytes,
        batch_minutes=settings.batch_minutes,
        max_attempts=settings.max_attempts if settings.mode == "reconcile" else 1,
        max_failed_fraction=settings.max_failed_fraction,
        doc_id_column=settings.doc_id_column,
    )


def scorer_spec(spark: SparkSession, settings: ScoreSettings, scorer: Scorer, *, tasks: int) -> ScorerSpec:
    """What each of this many tasks makes the scorer from."""
    from udfs.spark_udfs import ModelSpec, ScorerSpec

    model = ModelSpec(
        checkpoint=scorer.checkpoint,
        dtype=scorer.dtype,
        num_threads=threads_per_task(spark, tasks),
        allow_implausible=settings.allow_implausible_model,
    )
    return ScorerSpec(
        model=model,
        heads=scorer.heads,
        mode=scorer.mask_mode,
        window=scorer.window,
        max_batch_tokens=settings.max_batch_tokens,
        compiled=settings.compiled,
    )
