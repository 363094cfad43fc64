"""Documents as every stage sees them, from the namespace's corpus or from any other table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.settings.documents import DocumentTable
from jobs.spark.namespace import Namespace
from jobs.spark.table_names import find_table, quote_table_name
from jobs.spark.time_travel import find_at_newest_version
from jobs.terminal.display import EXAMPLES, examples
from schemas import corpus
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def source_name(namespace: Namespace, source: DocumentTable) -> str:
    """The source's table as quoted SQL."""
    return quote_table_name(source.table) if source.table else namespace.identifier(corpus.TABLE.name)


def read_documents(spark: SparkSession, namespace: Namespace, source: DocumentTable) -> DataFrame:
    """One row per document: doc_id, domain, text, text_sha256 (hex; a null text counts as empty), num_bytes.

    Text is read only where the text itself is used, or where the table does not have its hash or size.
    Raises ValueError when there is no such table, and when it does not have a column (naming those it has).
    """
    if source.table is None:
        table = namespace.read(spark, corpus.TABLE)
    else:
        table = _existing(find_table(spark, source_name(namespace, source)), source)
    return _checked_documents(table, source)


def read_at_newest_version(
    spark: SparkSession, namespace: Namespace, source: DocumentTable
) -> tuple[DataFrame, int | None]:
    """read_documents, at the table's newest version, whatever is written to it meanwhile, and that version, if any."""
    if source.table is None:
        table, version = namespace.read_at_newest_version(spark, corpus.TABLE)
    else:
        table_or_none, version = find_at_newest_version(spark, source_name(namespace, source))
        table = _existing(table_or_none, source)
    return _checked_documents(table, source), version


def _existing(table: DataFrame | None, source: DocumentTable) -> DataFrame:
    if table is None:
        raise ValueError(f"there is no table {source.table}; --corpus-table names a Delta table, or its path with a /")
    return table


def _checked_documents(table: DataFrame, source: DocumentTable) -> DataFrame:
    columns = table.columns
    flags = {"doc-id": source.doc_id, "text": source.text, "domain": source.domain, "text-sha256": source.text_sha256}
    for flag, name in flags.items():
        if name is not None and name not in columns:
            raise ValueError(
                f"{source.table or 'the corpus'} has no column {name!r}; it has {', '.join(columns)}; "
                f"name the one to use with --{flag}-column"
            )
    return documents_of(table, source)


def documents_of(table: DataFrame, source: DocumentTable, *, may_be_old: bool = False) -> DataFrame:
    """The table's rows as documents, with the columns that read_documents names.

    may_be_old: rows may be of a corpus before its upgrade, without hashes and sizes, as a stream reads them.
    """
    from pyspark.sql import functions as F

    text = F.col(quote_name(source.text)).cast("string")
    text_sha256 = F.sha2(F.coalesce(text, F.lit("")).cast("binary"), 256)
    num_bytes = F.coalesce(F.octet_length(text), F.lit(0)).cast("bigint")
    if source.text_sha256 is not None:
        given = F.lower(F.col(quote_name(source.text_sha256)).cast("string"))
        # Whoever reads the text checks the hash that others trust.
        text = F.when(given.eqNullSafe(text_sha256), text).otherwise(F.raise_error(_wrong_hash(source)))
        text_sha256 = given
    elif source.is_corpus:
        # A constraint of the table keeps them what they are called.
        stored = F.col("text_sha256"), F.col("num_bytes")
        made = (text_sha256, num_bytes)
        text_sha256, num_bytes = map(F.coalesce, stored, made) if may_be_old else stored
    return table.select(
        F.col(quote_name(source.doc_id)).cast("string").alias("doc_id"),
        F.col(quote_name(source.domain)).cast("string").alias("domain"),
        text.alias("text"),
        text_sha256.alias("text_sha256"),
        num_bytes.alias("num_bytes"),
    )


def _wrong_hash(source: DocumentTable) -> Column:
    from pyspark.sql import functions as F

    doc_id = F.substring(F.col(quote_name(source.doc_id)).cast("string"), 1, 80)
    return F.concat(
        F.lit(f"column {source.text_sha256} is not the SHA-256 in hex of column {source.text}, as in document "),
        F.coalesce(doc_id, F.lit("null")),
        F.lit("; mend it, or leave --text-sha256-column out"),
    )


def check_ids(documents: DataFrame) -> None:
    """Raise ValueError when a doc_id is null or is in several rows: nobody could say whose their scores are."""
    wrong = (
        documents.groupBy("doc_id")
        .count()
        .filter("doc_id is null or count > 1")
        .orderBy("doc_id")
        .limit(EXAMPLES + 1)
        .collect()
    )
    if not wrong:
        return
    shown = examples([f"{row['doc_id']!r} in {row['count']} rows" for row in wrong], width=80)
    raise ValueError(
        f"each document needs a doc_id of its own, but there is {shown}; "
        "remove the duplicates, or name another column with --doc-id-column"
    )


def example_ids(documents: DataFrame) -> str:
    """The first few doc_ids, as a message shows them."""
    rows = documents.orderBy("doc_id").limit(EXAMPLES).collect()
    return examples([row["doc_id"] for row in rows])
