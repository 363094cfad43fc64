"""The two parts of a mix: a selection, and what it was selected from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from jobs.corpus.choices import only_or_named
from jobs.corpus.scored import current_scores, most_rows, scored_documents
from jobs.ranking.ranks import choose_method, ranked
from jobs.spark.statements import local_rows, run_statement
from jobs.spark.tasks import FEW_ROWS
from schemas import selection_runs, selections

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.mixing.settings import MixSettings
    from jobs.spark.namespace import Namespace


def choose_selection(spark: SparkSession, namespace: Namespace, selection_id: str | None) -> dict[str, str]:
    """selection_id and scorer_id of the selection that was named, or of the only one; else a ValueError lists them."""
    table = namespace.read(spark, selection_runs.TABLE)
    known = table.groupBy("selection_id", "scorer_id").agg(
        {"created_at": "max", "num_documents": "sum", "num_tokens": "sum", "rule": "max"}
    )
    rows = sorted(known.collect(), key=lambda row: (row["max(created_at)"], row["selection_id"]))
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


@dataclass(frozen=True)
class Parts:
    """Each origin's documents (doc_id, domain, num_tokens, text_sha256, percentile), and the versions read.

    num_rows: at least as many as a part has documents. is_small: whether all tables have few rows.
    """

    documents: dict[str, DataFrame]
    versions: dict[str, int | None]
    num_rows: int
    is_small: bool


def read_parts(spark: SparkSession, namespace: Namespace, *, settings: MixSettings, selection: dict[str, str]) -> Parts:
    """The parts of the mix that the settings ask for."""
    from pyspark.sql import functions as F

    num_rows = most_rows(spark, namespace)
    versions: dict[str, int | None] = {}
    is_small = num_rows <= FEW_ROWS
    parts: dict[str, DataFrame] = {}
    columns = ("doc_id", "domain", "num_tokens", "text_sha256", "percentile")
    all_selections, versions[selections.TABLE.name] = namespace.read_at_newest_version(spark, selections.TABLE)
    chosen = all_selections.filter(F.col("selection_id") == selection["selection_id"])
    if settings.selected_share > 0:
        if settings.repeat_by == "percentile":
            ordered = chosen.select("doc_id", "domain", "order_value", "num_tokens", "text_sha256")
            parts["selected"] = ranked(spark, ordered, choose_method(ordered, num_rows)).select(*columns)
        else:
            parts["selected"] = chosen.withColumn("percentile", F.lit(1.0)).select(*columns)
    if settings.selected_share < 1:
        current = current_scores(
            spark,
            namespace,
            scorer_id=selection["scorer_id"],
            num_rows=num_rows,
            source=settings.document_table(),
        )
        versions |= current.versions
        is_small = is_small and current.is_small
        others = scored_documents(current.rows)
        if settings.baseline == "rest":
            others = others.join(chosen.select("doc_id"), "doc_id", "left_anti")
        parts["baseline"] = others.withColumn("percentile", F.lit(1.0)).select(*columns)
    return Parts(parts, versions, num_rows=num_rows, is_small=is_small)


def draw(spark: SparkSession, documents: DataFrame, *, settings: MixSettings, origin: str) -> DataFrame:
    """A part's documents, as take_first takes them: in an order drawn by hash, with the tokens of all repeats."""
    of_selection = origin == "selected"
    values: dict[str, Any] = {
        "repeats": settings.repeats if of_selection else 1,
        "seed": settings.seed,
        "origin": origin,
    }
    return run_statement(spark, "mixing/mix_part", values, documents=documents)


def count_drawn(drawn: dict[str, DataFrame]) -> list[Row]:
    """For each part (origin) and domain: its documents, its tokens with repeats, and those without (once)."""
    from pyspark.sql import functions as F

    parts = [documents.withColumn("origin", F.lit(origin)) for origin, documents in drawn.items()]
    together = reduce(lambda above, below: above.unionByName(below), parts)
    counts = F.count("*").alias("documents"), F.sum("num_tokens").alias("tokens"), F.sum("tokens_once").alias("once")
    return together.groupBy("origin", "domain").agg(*counts).collect()


def summary(
    spark: SparkSession, taken: DataFrame, *, available: list[Row], targets: dict[str, dict[str, int]]
) -> list[dict[str, Any]]:
    """For each part and domain, what the mix holds, by its rows of mixture, and what there was to take."""
    rows = [
        (row["origin"], row["domain"], row["documents"], row["once"], targets[row["origin"]][row["domain"]])
        for row in available
    ]
    to_take = local_rows(
        spark,
        rows,
        "origin string, domain string, available_documents bigint, available_tokens bigint, target_tokens bigint",
    )
    held = run_statement(spark, "mixing/mixture_summary", taken=taken, available=to_take).collect()
    in_order = sorted(held, key=lambda row: row["domain"])
    return [row.asDict() for row in sorted(in_order, key=lambda row: row["origin"], reverse=True)]
