"""The two parts of a mix: a selection, and what it was selected from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.corpus.choices import only_or_named
from jobs.corpus.scored import current_scores, scored_documents
from jobs.ranking.ranks import choose_method, ranked
from jobs.spark.statements import run_statement
from schemas import mixture, selection_runs, selections

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.mixing.settings import MixSettings
    from jobs.spark.namespace import Namespace


def choose_selection(spark: SparkSession, namespace: Namespace, selection_id: str | None) -> dict[str, str]:
    """selection_id and scorer_id of the selection that was named, or of the only one; else a ValueError lists them."""
    table = namespace.read(spark, selection_runs.TABLE)
    known = table.groupBy("selection_id", "scorer_id").agg(
        {"created_at": "max", "num_documents": "sum", "num_tokens": "sum", "rule": "max"}
    )
    rows = known.orderBy("max(created_at)", "selection_id").collect()
    chosen = only_or_named(
        namespace,
        rows,
        selection_id,
        key="selection_id",
        missing="selection yet; select first: attention-influence select ...",
        several=f"{len(rows)} selections",
        describe=lambda row: (
            f"{row['sum(num_documents)']:,} documents, {row['sum(num_tokens)']:,} tokens ({row['max(rule)']}), "
            f"of scorer {row['scorer_id']}, since {row['max(created_at)']:%Y-%m-%d %H:%M}"
        ),
    )
    if not chosen["sum(num_documents)"]:
        raise ValueError(f"selection {chosen['selection_id']} has no documents to mix; select some")
    return {"selection_id": chosen["selection_id"], "scorer_id": chosen["scorer_id"]}


def read_parts(
    spark: SparkSession, namespace: Namespace, *, settings: MixSettings, selection: dict[str, str]
) -> tuple[dict[str, DataFrame], dict[str, int | None]]:
    """Each origin's documents (doc_id, domain, num_tokens, text_sha256, percentile), and the versions read."""
    from pyspark.sql import functions as F

    versions: dict[str, int | None] = {}
    parts: dict[str, DataFrame] = {}
    columns = ("doc_id", "domain", "num_tokens", "text_sha256", "percentile")
    all_selections, versions[selections.TABLE.name] = namespace.read_at_newest_version(spark, selections.TABLE)
    chosen = all_selections.filter(F.col("selection_id") == selection["selection_id"])
    if settings.selected_share > 0:
        if settings.repeat_by == "percentile":
            ordered = chosen.select("doc_id", "domain", "order_value", "num_tokens", "text_sha256")
            parts["selected"] = ranked(spark, ordered, choose_method(ordered)).select(*columns)
        else:
            parts["selected"] = chosen.withColumn("percentile", F.lit(1.0)).select(*columns)
    if settings.selected_share < 1:
        current, read_too = current_scores(
            spark, namespace, scorer_id=selection["scorer_id"], source=settings.document_table()
        )
        versions |= read_too
        others = scored_documents(current)
        if settings.baseline == "rest":
            others = others.join(chosen.select("doc_id"), "doc_id", "left_anti")
        parts["baseline"] = others.withColumn("percentile", F.lit(1.0)).select(*columns)
    return parts, versions


def draw(spark: SparkSession, documents: DataFrame, *, settings: MixSettings, origin: str) -> DataFrame:
    """A part's documents, as cut_into_bins takes them: in an order drawn by hash, with the tokens of all repeats."""
    of_selection = origin == "selected"
    values: dict[str, Any] = {
        "repeats": settings.repeats if of_selection else 1,
        "seed": settings.seed,
        "origin": origin,
    }
    return run_statement(spark, "mixing/mix_part", values, documents=documents)


def summary(
    spark: SparkSession,
    namespace: Namespace,
    *,
    mixture_id: str,
    drawn: dict[str, DataFrame],
    targets: dict[str, dict[str, int]],
) -> list[dict[str, Any]]:
    """For each part and domain, what the mix holds, from the rows that were written, and what there was to take."""
    from pyspark.sql import functions as F

    rows = [
        (origin, row["domain"], row["documents"], row["tokens"], targets[origin][row["domain"]])
        for origin, documents in drawn.items()
        for row in documents.groupBy("domain")
        .agg(F.count("*").alias("documents"), F.sum("tokens_once").alias("tokens"))
        .collect()
    ]
    available = spark.createDataFrame(
        rows,
        "origin string, domain string, available_documents bigint, available_tokens bigint, target_tokens bigint",
    )
    taken = namespace.read(spark, mixture.TABLE).filter(F.col("mixture_id") == mixture_id)
    return [
        row.asDict()
        for row in run_statement(spark, "mixing/mixture_summary", taken=taken, available=available).collect()
    ]
