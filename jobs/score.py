"""Score every document of a corpus, or of any Delta table, under a mask: once for each text and scorer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jobs.cli import run_stage
from jobs.settings import StageSettings
from jobs.tables import Namespace
from jobs.workers import num_tasks, threads_per_task

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.scorers import Scorer
    from jobs.scoring import ScoringPlan


class ScoreSettings(StageSettings):
    """Score each document with all heads and with a mask's heads off, in one pass of the model.

    A document is scored once for each text and scorer (model, mask, mode, window, number format): run it again and
    it does what is left. Each document gets a row in scores, whatever became of it.
    """

    model: str = Field(description="hub id with optional @revision, a model folder, or a .gguf file")
    mask_id: str | None = Field(None, description="a mask of head_masks; by default the newest of this model")
    heads_file: str | None = Field(None, description="a text file with a layer,head line for each head to mask")
    mask_mode: Literal["uniform", "zero"] = Field("uniform", description="equal weights over the past, or no output")
    window: int = Field(4096, ge=4, description="longest piece of a document read at once, in tokens")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="number format; auto is bfloat16 on GPUs and float32 on CPUs"
    )
    corpus_table: str | None = Field(None, description="Delta table to score; by default the namespace's corpus")
    doc_id_column: str = Field("doc_id", description="its column with the document's id")
    text_column: str = Field("text", description="its column with the text")
    domain_column: str = Field("domain", description="its column with the domain")
    limit: int | None = Field(None, ge=1, description="score only so many of the documents not yet scored")
    batch_bytes: int | None = Field(None, ge=1, description="text to commit at a time; by default 1/20 of all")
    max_text_bytes: int = Field(20_000_000, ge=1, description="a longer text is not read; its status is failed")
    max_batch_tokens: int | None = Field(None, ge=1, description="tokens in one pass; by default the device's best")
    compiled: bool = Field(False, alias="compile", description="compile the model's layers first: a minute a worker")
    tasks: int | None = Field(None, ge=1, description="Spark tasks at a time; by default 1 on a single machine")
    trust_remote_code: bool = Field(False, description="run the code that the model's repository brings")
    json_output: bool = Field(False, alias="json", description="print the result as JSON")
    dry_run: bool = Field(False, description="say what would be scored, and stop")


def run(settings: ScoreSettings, spark: SparkSession) -> dict[str, Any]:
    """Score what this scorer has not scored yet, batch by batch; a killed run loses one batch at most."""
    from jobs.documents import DocumentSource, read_documents, source_name
    from jobs.run_log import RunLog
    from jobs.scoring import not_yet_scored, score_in_batches
    from schemas import runs, scores

    namespace = Namespace.parse(settings.namespace)
    source = DocumentSource(settings.corpus_table, settings.doc_id_column, settings.text_column, settings.domain_column)
    documents = read_documents(spark, namespace, source)
    scorer = resolve_scorer(settings, spark, namespace)
    pending = not_yet_scored(spark, namespace, documents, scorer.scorer_id)
    if settings.limit:
        # Fixed now: the limit of a set that shrinks with each batch would go on to the next documents.
        first = pending.select("doc_id").orderBy("doc_id").limit(settings.limit).collect()
        documents = documents.filter(documents.doc_id.isin([row["doc_id"] for row in first]))
        pending = not_yet_scored(spark, namespace, documents, scorer.scorer_id)
    num_documents, num_bytes = pending.selectExpr("count(*)", "coalesce(sum(num_bytes), 0)").collect()[0]
    log = RunLog(spark, namespace, scorer.scorer_id, source_name(namespace, source))
    if num_documents and not settings.dry_run:
        scorer.record(spark, namespace)
        for table in (scores.TABLE, runs.TABLE):
            namespace.create(spark, table)
        with log.recorded():
            score_in_batches(spark, namespace, documents, num_bytes, scoring_plan(settings, spark, scorer), log)
    result = {"scorer_id": scorer.scorer_id, "num_pending": num_documents, "num_bytes": num_bytes, **log.result()}
    to_do = f"{num_documents:,} documents ({num_bytes:,} bytes) to score" if num_documents else "nothing left to score"
    done = log.summary() if log.num_documents else f"scorer {scorer.scorer_id}: {to_do}"
    print(json.dumps(result) if settings.json_output else done)
    return result


def resolve_scorer(settings: ScoreSettings, spark: SparkSession, namespace: Namespace) -> Scorer:
    """The scorer that the settings describe; ValueError for a model, mask or window that does not fit."""
    from jobs.scorers import Scorer, choose_dtype, choose_heads
    from udfs.checkpoint import resolve_checkpoint

    checkpoint = resolve_checkpoint(settings.model, trust_remote_code=settings.trust_remote_code)
    if settings.window > checkpoint.max_positions:
        raise ValueError(
            f"--window {settings.window} is beyond the {checkpoint.max_positions} tokens that {checkpoint.model_id} "
            f"reads; use --window {checkpoint.max_positions} or less"
        )
    heads = choose_heads(spark, namespace, checkpoint, settings.mask_id, settings.heads_file)
    return Scorer(checkpoint, heads, settings.mask_mode, settings.window, choose_dtype(spark, settings.dtype))


def scoring_plan(settings: ScoreSettings, spark: SparkSession, scorer: Scorer) -> ScoringPlan:
    """The scorer as a pandas_udf, and how much goes through it at a time."""
    from jobs.scoring import ScoringPlan
    from udfs.spark_udfs import ModelSpec, ScorerSpec, paired_score_udf

    tasks = num_tasks(spark, settings.tasks)
    model = ModelSpec(scorer.checkpoint, scorer.dtype, threads_per_task(spark, tasks))
    spec = ScorerSpec(
        model, scorer.heads, scorer.mask_mode, scorer.window, settings.max_batch_tokens, settings.compiled
    )
    udf = paired_score_udf(spec)
    return ScoringPlan(scorer.scorer_id, udf, tasks, settings.max_text_bytes, settings.batch_bytes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; returns the exit status."""
    return run_stage(ScoreSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
