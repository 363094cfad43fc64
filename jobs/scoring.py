"""From documents to rows of `scores`: what is still to do, the model as a column, and batches that are committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F

from jobs.progress import progress
from jobs.run_log import RunLog
from jobs.tables import Namespace
from jobs.workers import worker_errors
from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# A run is cut into about NUM_BATCHES commits: enough to see how far it is, and to lose little when it is killed.
NUM_BATCHES = 20
MIN_BATCH_BYTES, MAX_BATCH_BYTES = 16 * 2**10, 256 * 2**20
# Each batch reads the source once more; beyond this many, reading would cost more than a lost batch does.
MAX_BATCHES = 64


@dataclass(frozen=True)
class ScoringPlan:
    """How documents become scores: the model's pandas_udf and the limits around it, in bytes and tasks."""

    scorer_id: str
    paired_scores: Any
    tasks: int
    max_text_bytes: int
    batch_bytes: int | None = None


def not_yet_scored(spark: SparkSession, namespace: Namespace, documents: DataFrame, scorer_id: str) -> DataFrame:
    """The documents whose present text this scorer has no row for."""
    if not namespace.exists(spark, scores.TABLE.name):
        return documents
    table = namespace.read(spark, scores.TABLE)
    done = table.filter(table.scorer_id == scorer_id).select("doc_id", "text_sha256")
    return documents.join(done, on=["doc_id", "text_sha256"], how="left_anti")


def score_in_batches(
    spark: SparkSession, namespace: Namespace, documents: DataFrame, num_bytes: int, plan: ScoringPlan, log: RunLog
) -> None:
    """Score and append the documents, a hash bucket a commit; each counts in the log and on the progress bar.

    num_bytes: text still to be scored.
    """
    batch_bytes = plan.batch_bytes or min(MAX_BATCH_BYTES, max(MIN_BATCH_BYTES, num_bytes // NUM_BATCHES))
    num_batches = max(1, min(MAX_BATCHES, num_bytes // batch_bytes))
    with progress("Scoring", total=max(1, num_bytes), unit="bytes") as bar:
        for number in range(num_batches):
            bucket = documents.filter(F.pmod(F.xxhash64("doc_id"), F.lit(num_batches)) == number)
            pending = not_yet_scored(spark, namespace, bucket, plan.scorer_id)
            counts = Observation()
            rows = score_rows(pending.repartition(plan.tasks), plan, log.run_id).observe(counts, *_counts())
            with worker_errors():
                namespace.append(rows.drop("num_bytes"), scores.TABLE)
            log.add(counts.get)
            bar.advance(counts.get["num_bytes"] or 0)


def score_rows(documents: DataFrame, plan: ScoringPlan, run_id: str) -> DataFrame:
    """One row a document, matching schemas.scores, and its num_bytes last.

    Text that Python cannot take is not sent there: too long for a worker's memory, or bytes that are no UTF-8,
    at which the whole task would stop. Its row says so.
    """
    too_long = F.col("num_bytes") > plan.max_text_bytes
    broken = ~F.is_valid_utf8(F.coalesce("text", F.lit("")))
    readable = F.when(~too_long & ~broken, F.col("text"))
    scored = documents.withColumn("paired", plan.paired_scores(readable))
    unread = F.when(too_long, "TextTooLong").when(broken, "InvalidUtf8")
    why = F.when(
        too_long, F.format_string(f"the text has %d bytes; --max-text-bytes is {plan.max_text_bytes}", "num_bytes")
    ).when(broken, "the text is not valid UTF-8; mend it where it is made, or with make_valid_utf8 in SQL")
    return scored.select(
        "doc_id",
        "text_sha256",
        F.lit(plan.scorer_id).alias("scorer_id"),
        "domain",
        *[F.when(unread.isNull(), F.col(f"paired.{name}")).alias(name) for name in _MEASURES],
        F.when(unread.isNotNull(), "failed").otherwise(F.col("paired.status")).alias("status"),
        F.coalesce(unread, "paired.error_class").alias("error_class"),
        F.coalesce(why, "paired.error_message").alias("error_message"),
        F.lit(run_id).alias("run_id"),
        F.current_timestamp().alias("scored_at"),
        "num_bytes",
    )


_MEASURES = (
    "num_tokens",
    "num_predicted_tokens",
    "num_windows",
    "num_float32_windows",
    "base_nll_sum",
    "masked_nll_sum",
    "base_loss",
    "masked_loss",
    "influence_score",
)


def _counts() -> list[Column]:
    """What is counted while a batch is written, without reading it again."""
    of_status = [F.count_if(F.col("status") == status).alias(status) for status in scores.STATUSES]
    return [*of_status, F.sum("num_tokens").alias("num_tokens"), F.sum("num_bytes").alias("num_bytes")]
