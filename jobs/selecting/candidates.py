"""The documents that a selection chooses from: scored, and joined with the dedup and quality tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from jobs.corpus.scored import scored_documents
from jobs.ranking.ranks import choose_method, ranked
from jobs.spark.caching import persisted
from jobs.spark.statements import run_statement
from jobs.terminal.display import examples

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.selecting.joined_tables import JoinedTables
    from jobs.selecting.settings import SelectSettings

# From each domain to without_quality and without_cluster: how many of its scored documents are not in the joined table;
# None where there is no such table.
Unmatched = dict[str, dict[str, int | None]]


@contextmanager
def find_candidates(
    spark: SparkSession, tables: JoinedTables, settings: SelectSettings
) -> Iterator[tuple[DataFrame, Unmatched]]:
    """The candidates, and how many documents the joined tables do not have.

    Columns: doc_id, domain, influence_score, num_tokens, text_sha256, quality, cluster_id, order_value. The candidates
    are persisted while the block runs. Raises ValueError, with nothing written, for documents that a table has twice
    and, where --missing is fail, for those that it does not have.
    """
    with ExitStack() as stack:
        unmatched: Unmatched = {}
        documents = _joined(spark, tables)
        if tables.quality is not None or tables.clusters is not None:
            documents = stack.enter_context(persisted(documents))
            unmatched = _check_joined(
                run_statement(spark, "selecting/joined_checks", documents=documents).collect(), tables, settings
            )
        documents = _filtered(spark, documents, tables=tables, settings=settings)
        if settings.combine:
            documents = _combined(
                spark, stack.enter_context(persisted(documents)), num_rows=tables.num_rows, settings=settings
            )
        if settings.end == "bottom":
            documents = documents.withColumn("order_value", -documents.order_value)
        yield stack.enter_context(persisted(documents)), unmatched


def _joined(spark: SparkSession, tables: JoinedTables) -> DataFrame:
    from pyspark.sql import functions as F

    documents = scored_documents(tables.scores)
    if tables.quality is None:
        nothing = {"quality": F.lit(None).cast("double"), "quality_rows": F.lit(0).cast("bigint")}
        documents = documents.withColumns(nothing)
    else:
        documents = run_statement(spark, "selecting/with_quality", documents=documents, quality=tables.quality)
    if tables.clusters is None:
        nothing = {"cluster_id": F.lit(None).cast("string"), "cluster_rows": F.lit(0).cast("bigint")}
        return documents.withColumns(nothing)
    return run_statement(spark, "selecting/with_cluster", documents=documents, clusters=tables.clusters)


def _filtered(
    spark: SparkSession, documents: DataFrame, *, tables: JoinedTables, settings: SelectSettings
) -> DataFrame:
    """The documents that --missing, --min-quality and the clusters leave, ordered by the influence score."""
    from pyspark.sql import functions as F

    if settings.missing == "drop":
        needed = {"quality": tables.quality, "cluster_id": tables.clusters}
        documents = documents.dropna(subset=[name for name, table in needed.items() if table is not None])
    if settings.min_quality is not None:
        documents = documents.filter(F.col("quality").isNull() | (F.col("quality") >= settings.min_quality))
    documents = documents.drop("quality_rows", "cluster_rows")
    if tables.clusters is not None:
        by = {"score": "influence_score", "length": "num_tokens", "quality": "quality"}[settings.prefer]
        preferred = documents.withColumn("preference", F.col(by).cast("double"))
        documents = run_statement(spark, "selecting/one_of_each_cluster", documents=preferred)
    return documents.withColumn("order_value", F.col("influence_score"))


def _combined(spark: SparkSession, documents: DataFrame, *, num_rows: int, settings: SelectSettings) -> DataFrame:
    """The documents with the weighted mean of their percentiles by influence and by quality as their order_value."""
    from pyspark.sql import functions as F

    method = choose_method(documents, num_rows)
    for name in ("influence_score", "quality"):
        # A quality may be infinite, which bins do not accept.
        finite = F.greatest(F.lit(-sys.float_info.max), F.least(F.lit(sys.float_info.max), F.col(name)))
        ranks = ranked(spark, documents.withColumn("order_value", finite), method)
        ranks = ranks.withColumnRenamed("percentile", f"{name.removesuffix('_score')}_percentile")
        documents = ranks.drop("domain_rank", "domain_size", "cumulative_tokens")
    total = sum(settings.combine.values())
    weights = {name: weight / total for name, weight in settings.combine.items()}
    return run_statement(spark, "selecting/combined_value", weights, documents=documents)


def _check_joined(domains: list[Row], tables: JoinedTables, settings: SelectSettings) -> Unmatched:
    """How many documents are unmatched, from rows of joined_checks.sql.

    Raises ValueError for an id that is there twice, and for unmatched documents where --missing is fail.
    """
    joined = []
    if tables.quality is not None:
        joined.append(("quality", "--quality-table", settings.quality_table))
    if tables.clusters is not None:
        joined.append(("cluster", "--dedup-table", settings.dedup_table))
    for name, flag, table in joined:
        if twice := sum(row[f"twice_in_{name}"] for row in domains):
            raise ValueError(
                f"{flag} {table} has several rows for {twice} documents, such as "
                f"{_examples(domains, f'twice_in_{name}')}; it must have one row per document"
            )
        without = sum(row[f"without_{name}"] for row in domains)
        if settings.missing == "fail" and without:
            raise ValueError(
                f"{flag} {table} has no {name} for {without} scored documents, such as "
                f"{_examples(domains, f'without_{name}')}; say what to do with them: --missing keep or --missing drop"
            )
    names = {name for name, _, _ in joined}
    columns = ("quality", "cluster")
    return {
        row["domain"]: {f"without_{name}": row[f"without_{name}"] if name in names else None for name in columns}
        for row in domains
    }


def _examples(domains: list[Row], name: str) -> str:
    firsts, lasts = ([row[f"{end}_{name}"] for row in domains if row[name]] for end in ("first", "last"))
    return examples(list(dict.fromkeys((min(firsts), max(lasts)))))
