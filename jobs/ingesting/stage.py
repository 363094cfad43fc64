"""Ingest: documents from files, a table or a hub into the corpus table, each once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobs.ingesting.settings import IngestSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.ingesting.read_input import Input
    from jobs.spark.namespace import Namespace


def run(settings: IngestSettings, spark: SparkSession) -> dict[str, Any]:
    """Add the input's documents to corpus in one commit; print, and return, what was found and done.

    Raises ValueError, with nothing written, for input that is not whole, and ids that are missing, repeated or taken.
    """
    from jobs.ingesting.checks import good_parts_named
    from jobs.ingesting.report import describe, ingest_result
    from jobs.ingesting.upgrade import upgrade_corpus
    from jobs.spark.caching import computed_once
    from jobs.spark.namespace import Namespace
    from jobs.spark.statements import run_statement
    from schemas.corpus import TABLE, UNKNOWN_DOMAIN

    namespace = Namespace.parse(settings.namespace)
    if settings.upgrade:
        return upgrade_corpus(settings, spark, namespace)
    if not settings.dry_run:
        namespace.require_creatable(spark, TABLE)
    existing = _existing(spark, namespace)
    incoming = _find(settings, spark)
    values = {"content_ids": settings.doc_id_column is None, "unknown_domain": UNKNOWN_DOMAIN}
    how = {"compares_sources": settings.on_conflict == "update"}
    documents = run_statement(spark, "ingesting/documents", values, documents=incoming.documents)
    if incoming.hub is not None:
        documents = computed_once(documents)
    elif settings.limit:
        documents = _first(incoming, documents, settings.limit, each_text_once=settings.doc_id_column is None)
    compared = run_statement(spark, "ingesting/compared", how, documents=documents, corpus=existing)
    with good_parts_named(incoming.files), incoming.errors():
        domains = run_statement(spark, "ingesting/summary", compared=compared).collect()
    _require_readable(incoming, domains)
    _require_ids(settings, compared, domains)
    if not settings.dry_run:
        # Created this late, so that a refused input leaves no empty table behind.
        namespace.create(spark, TABLE)
        if _has_news(settings, domains):
            _write(settings, spark, namespace, documents)
    result = ingest_result(settings, incoming.file_format, domains) | incoming.about()
    print(json.dumps(result) if settings.json_output else describe(result))
    return result


def _find(settings: IngestSettings, spark: SparkSession) -> Input:
    from jobs.ingesting.columns import InputColumns
    from jobs.ingesting.files import decoded_uri
    from jobs.ingesting.find_input import find_input

    columns = InputColumns(
        text=settings.text_column,
        doc_id=settings.doc_id_column,
        domain=settings.domain_column,
        source=settings.source_column,
        fixed_domain=settings.domain,
    )
    return find_input(
        spark,
        decoded_uri(settings.input),
        file_format=settings.format,
        columns=columns,
        subset=settings.subset,
        split=settings.split,
        limit=settings.limit,
    )


def _first(incoming: Input, documents: DataFrame, limit: int, *, each_text_once: bool) -> DataFrame:
    """The first documents by their ids. Raises ValueError for anything unreadable, even beyond the limit."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    from jobs.ingesting.checks import good_parts_named

    with good_parts_named(incoming.files), incoming.errors():
        problem = F.col("problem")
        totals: list[Any] = documents.agg(F.count("*"), F.count(problem), F.min(problem)).collect()
    incoming.require_readable(*totals[0])
    if each_text_once:
        # The limit counts documents, and the same text twice is one document.
        copies = Window.partitionBy("doc_id").orderBy("domain", "source")
        documents = documents.withColumn("copy", F.row_number().over(copies)).where("copy = 1").drop("copy")
    return documents.orderBy("doc_id", "domain", "source").limit(limit)


def _existing(spark: SparkSession, namespace: Namespace) -> DataFrame:
    """The documents of corpus: doc_id, domain, source, text_sha256."""
    from schemas import corpus

    if not namespace.exists(spark, corpus.TABLE.name):
        return spark.createDataFrame([], "doc_id string, domain string, source string, text_sha256 string")
    return namespace.read(spark, corpus.TABLE).select("doc_id", "domain", "source", "text_sha256")


def _require_readable(incoming: Input, domains: list[Row]) -> None:
    """Raise ValueError for rows that cannot be read, and for columns that the input does not have."""
    problems = [row["first_problem"] for row in domains if row["first_problem"]]
    first = min(problems, key=lambda problem: (problem["file"], problem["block"], problem["line"]), default=None)
    num_read = sum(row["num_read"] for row in domains)
    incoming.require_readable(num_read, sum(row["num_problems"] for row in domains), first)
    if num_read:
        columns = incoming.columns
        roles = {"text": columns.text, "id": columns.doc_id, "domain": columns.domain, "source": columns.source}
        incoming.require_columns(
            {name: any(row[f"has_{role}"] for row in domains) for role, name in roles.items() if name}
        )


def _require_ids(settings: IngestSettings, compared: DataFrame, domains: list[Row]) -> None:
    from jobs.corpus.documents import example_ids

    if settings.doc_id_column is None:
        return
    column = settings.doc_id_column
    if without := sum(row["num_without_id"] for row in domains):
        raise ValueError(f"column {column!r} is null or empty in {without:,} documents; nothing was written")
    if repeated := sum(row["num_read"] - row["num_documents"] for row in domains):
        examples = example_ids(compared.where("num_rows > 1"))
        raise ValueError(
            f"column {column!r} does not identify documents: {repeated:,} rows repeat the id of another, such as "
            f"{examples}; nothing was written: remove the repeats, or leave --doc-id-column out"
        )
    changed = sum(row["num_other_text"] for row in domains)
    if changed and settings.on_conflict == "fail":
        examples = example_ids(compared.where("has_other_text"))
        raise ValueError(
            f"{changed:,} documents are in corpus with another text, such as {examples}; nothing was written: "
            "take the new texts with --on-conflict update, or ingest them under other ids"
        )


def _has_news(settings: IngestSettings, domains: list[Row]) -> bool:
    """Whether anything of the input is to be written. With --on-conflict update, a source alone may be another one."""
    counts = ("num_new", "num_other_text", "num_other_domain", "num_other_source")
    wanted = counts if settings.on_conflict == "update" else counts[:1]
    return any(row[name] for row in domains for name in wanted)


def _write(settings: IngestSettings, spark: SparkSession, namespace: Namespace, documents: DataFrame) -> None:
    from jobs.spark.spark_errors import spark_reasons
    from jobs.spark.statements import run_statement
    from schemas import corpus

    with spark_reasons(f"corpus in {namespace} could not be written, and is as it was"):
        # Read again, as another ingest may have created the table meanwhile.
        existing = _existing(spark, namespace)
        if settings.on_conflict == "update":
            each_once = run_statement(spark, "ingesting/new", documents=documents, corpus=existing.limit(0))
            held = namespace.read(spark, corpus.TABLE)
            run_statement(spark, "ingesting/update", documents=each_once, corpus=held)
        else:
            new = run_statement(spark, "ingesting/new", documents=documents, corpus=existing)
            namespace.append(new, corpus.TABLE)
