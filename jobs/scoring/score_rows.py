"""Documents with what the model makes of them, as rows of `scores`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from schemas import scores

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from jobs.scoring.plan import ScoringPlan


def score_rows(documents: DataFrame, plan: ScoringPlan, run_id: str) -> DataFrame:
    """One row per document, matching schemas.scores, with its num_bytes as the last column.

    A text is not sent to Python where it is too long for a worker's memory, or is not valid UTF-8, at which the whole
    task would stop. Its row says so.
    """
    too_long = F.col("num_bytes") > plan.max_text_bytes
    broken = ~F.is_valid_utf8(F.coalesce("text", F.lit("")))
    readable = F.when(~too_long & ~broken, F.col("text"))
    scored = documents.withColumn("paired", plan.paired_scores(readable))
    unread = F.when(too_long, "TextTooLong").when(broken, "InvalidUtf8")
    why = F.when(
        too_long, F.format_string(f"the text has %d bytes; --max-text-bytes is {plan.max_text_bytes}", "num_bytes")
    ).when(broken, "the text is not valid UTF-8; mend it where it is made, or with make_valid_utf8 in SQL")
    return _rows(
        scored,
        plan,
        run_id,
        measures={name: F.when(unread.isNull(), F.col(f"paired.{name}")) for name in _MEASURES},
        status=F.when(unread.isNotNull(), "failed").otherwise(F.col("paired.status")),
        error_class=F.coalesce(unread, "paired.error_class"),
        error_message=F.coalesce(why, "paired.error_message"),
    )


def unread_rows(
    documents: DataFrame, plan: ScoringPlan, run_id: str, *, error_class: Column, error_message: Column
) -> DataFrame:
    """One failed row per document, made without the model, matching schemas.scores, and its num_bytes last."""
    types = {field.name: field.dataType for field in scores.TABLE.schema}
    measures = {name: F.lit(None).cast(types[name]) for name in _MEASURES}
    return _rows(
        documents,
        plan,
        run_id,
        measures=measures,
        status=F.lit("failed"),
        error_class=error_class,
        error_message=error_message,
    )


def _rows(
    documents: DataFrame,
    plan: ScoringPlan,
    run_id: str,
    *,
    measures: dict[str, Column],
    status: Column,
    error_class: Column,
    error_message: Column,
) -> DataFrame:
    return documents.select(
        "doc_id",
        "text_sha256",
        F.lit(plan.scorer_id).alias("scorer_id"),
        "attempt",
        "domain",
        *[measure.alias(name) for name, measure in measures.items()],
        status.alias("status"),
        error_class.alias("error_class"),
        error_message.alias("error_message"),
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


def totals() -> list[Column]:
    """The columns that count a batch while it is written, so that it need not be read again."""
    of_status = [F.count_if(F.col("status") == status).alias(status) for status in scores.STATUSES]
    is_new = F.col("attempt") == 1
    of_new = [
        F.count_if(is_new).alias("num_new"),
        F.count_if(is_new & (F.col("status") == "failed")).alias("num_new_failed"),
    ]
    sums = [F.sum(name).alias(name) for name in ("num_tokens", "num_float32_windows")]
    # A text that was not read says nothing of the speed.
    num_bytes = F.sum(F.when(F.col("num_tokens").isNotNull(), F.col("num_bytes"))).alias("num_bytes")
    return [*of_status, *of_new, *sums, num_bytes]
