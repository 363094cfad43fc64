"""Documents as every stage sees them, from the namespace's corpus or from any table that a person has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.settings.documents import DocumentTable
from jobs.spark.namespace import Namespace
from jobs.spark.table_names import find_table, quote_table_name
from schemas import corpus
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def source_name(namespace: Namespace, source: DocumentTable) -> str:
    """The source's table as quoted SQL."""
    return quote_table_name(source.table) if source.table else namespace.identifier(corpus.TABLE.name)


def read_documents(spark: SparkSession, namespace: Namespace, source: DocumentTable) -> DataFrame:
    """One row a document: doc_id, domain, text, text_sha256 (hex; a null text counts as empty), num_bytes.

    Raises ValueError when there is no such table, and when it lacks a column (naming those it has).
    """
    if source.table is None:
        table = namespace.read(spark, corpus.TABLE)
    else:
        found = find_table(spark, quote_table_name(source.table))
        if found is None:
            raise ValueError(
                f"there is no table {source.table}; --corpus-table names a Delta table, or its path with a /"
            )
        table = found
    columns = table.columns
    for flag, name in (("doc-id", source.doc_id), ("text", source.text), ("domain", source.domain)):
        if name not in columns:
            raise ValueError(
                f"{source.table or 'the corpus'} has no column {name!r}; it has {', '.join(columns)}; "
                f"name the one to use with --{flag}-column"
            )
    return documents_of(table, source)


def read_at_newest_version(
    spark: SparkSession, namespace: Namespace, source: DocumentTable
) -> tuple[DataFrame, int | None]:
    """read_documents, of the table's newest version whatever is written to it meanwhile, and that version, if any."""
    from jobs.spark.time_travel import read_at_version

    # Its errors say what is wrong with the table.
    read_documents(spark, namespace, source)
    table, version = read_at_version(spark, source_name(namespace, source))
    return documents_of(table, source), version


def documents_of(table: DataFrame, source: DocumentTable) -> DataFrame:
    """The table's rows as documents, with the columns that read_documents names."""
    from pyspark.sql import functions as F

    text = F.col(quote_name(source.text)).cast("string")
    return table.select(
        F.col(quote_name(source.doc_id)).cast("string").alias("doc_id"),
        F.col(quote_name(source.domain)).cast("string").alias("domain"),
        text.alias("text"),
        F.sha2(F.coalesce(text, F.lit("")).cast("binary"), 256).alias("text_sha256"),
        F.coalesce(F.octet_length(text), F.lit(0)).alias("num_bytes"),
    )


def check_ids(documents: DataFrame) -> None:
    """Raise ValueError when a doc_id is null or names several rows: their scores could not be told apart."""
    wrong = (
        documents.groupBy("doc_id").count().filter("doc_id is null or count > 1").orderBy("doc_id").limit(4).collect()
    )
    if not wrong:
        return
    shown = ", ".join(f"{row['doc_id']!r} in {row['count']} rows"[:80] for row in wrong[:3])
    more = " and others" if len(wrong) > 3 else ""
    raise ValueError(
        f"each document needs a doc_id of its own, but there is {shown}{more}; "
        "remove the duplicates, or name another column with --doc-id-column"
    )
