"""The tables that a selection reads: its scores, and the dedup and quality tables that a person has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.corpus.scored import current_scores
from jobs.settings.stage import nearest
from jobs.spark.namespace import Namespace
from jobs.spark.table_names import quote_table_name
from jobs.spark.time_travel import find_at_newest_version
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from jobs.selecting.settings import SelectSettings


@dataclass(frozen=True)
class JoinedTables:
    """Current scores, quality (doc_id, quality) and clusters (doc_id, cluster_id); versions of every table read.

    num_rows: at least as many as there are documents to choose from. is_small: whether all tables have few rows.
    """

    scores: DataFrame
    quality: DataFrame | None
    clusters: DataFrame | None
    versions: dict[str, int | None]
    num_rows: int
    is_small: bool


def open_tables(
    spark: SparkSession, namespace: Namespace, *, settings: SelectSettings, scorer_id: str, num_rows: int
) -> JoinedTables:
    """The tables at their newest versions; ValueError where one is missing, or does not have the named columns."""
    current = current_scores(spark, namespace, scorer_id=scorer_id, num_rows=num_rows, source=settings.document_table())
    versions = current.versions
    quality = clusters = None
    if settings.quality_table:
        table, versions[settings.quality_table] = _open(
            spark, namespace, flag="--quality-table", name=settings.quality_table
        )
        doc_id = _column(
            table, settings.quality_id_column, flag="--quality-id-column", table_name=settings.quality_table
        )
        value = _column(
            table, settings.quality_column, flag="--quality-column", table_name=settings.quality_table, kind="number"
        )
        quality = table.select(doc_id.alias("doc_id"), value.cast("double").alias("quality"))
    if settings.dedup_table:
        table, versions[settings.dedup_table] = _open(spark, namespace, flag="--dedup-table", name=settings.dedup_table)
        doc_id = _column(table, settings.dedup_id_column, flag="--dedup-id-column", table_name=settings.dedup_table)
        cluster = _column(
            table, settings.cluster_column, flag="--cluster-column", table_name=settings.dedup_table, kind="any"
        )
        clusters = table.select(doc_id.alias("doc_id"), cluster.cast("string").alias("cluster_id"))
    return JoinedTables(
        scores=current.rows,
        quality=quality,
        clusters=clusters,
        versions=versions,
        num_rows=num_rows,
        # How many rows the joined tables have is not known.
        is_small=current.is_small and quality is None and clusters is None,
    )


def _open(spark: SparkSession, namespace: Namespace, *, flag: str, name: str) -> tuple[DataFrame, int | None]:
    """The table of this name in the namespace, or anywhere, and its version."""
    identifier = quote_table_name(name)
    if "." not in name and "/" not in name and namespace.exists(spark, name):
        identifier = namespace.identifier(name)
    table, version = find_at_newest_version(spark, identifier)
    if table is None:
        raise ValueError(
            f"{flag} is {name!r}, but there is no such table; name one of the namespace or of a schema, or a Delta "
            "table's path, with a slash in it"
        )
    return table, version


def _column(table: DataFrame, name: str, *, flag: str, table_name: str, kind: str = "id") -> Column:
    """The table's column of that name; ValueError where there is none, or its type is not one of the kind."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import AtomicType, NumericType, StringType

    types = {field.name: field.dataType for field in table.schema}
    if name not in types:
        raise ValueError(f"{flag} is {name!r}, which {table_name} lacks; {nearest(name, types)}")
    wanted = {"id": (StringType, "strings, as doc_id is"), "number": (NumericType, "numbers")}
    type_, what = wanted.get(kind, (AtomicType, "plain values"))
    if not isinstance(types[name], type_):
        raise ValueError(
            f"{flag} is {name!r}, whose values in {table_name} are {types[name].simpleString()}; they must be {what}: "
            "name another column, or a view that casts it"
        )
    return F.col(quote_name(name))
