"""What the tests of score share: a tiny model, its heads, documents, and what became of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from jobs.spark.statements import local_rows
from schemas import corpus, runs, scores
from tests.jobs.corpus.corpus_cases import corpus_rows
from tests.udfs.conftest import SENTENCES

HEADS = [(1, 0), (1, 3), (2, 2)]
WINDOW = 48
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def documents(count: int, first: int = 0) -> dict[str, str]:
    """Texts of one to six sentences, each of its own."""
    return {
        f"doc-{n:03}": f"Number {n}. " + " ".join(SENTENCES[(n + k) % 4] for k in range(1 + n % 6))
        for n in range(first, first + count)
    }


def add_documents(spark: SparkSession, namespace: str, texts: dict[str, Any]) -> None:
    """Append the texts to the namespace's corpus."""
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    rows = [(doc_id, "prose", text, None) for doc_id, text in texts.items()]
    place.append(corpus_rows(spark, rows), corpus.TABLE)


def all_scores(spark: SparkSession, namespace: str) -> list[Any]:
    """Every row of scores."""
    return Namespace.parse(namespace).read(spark, scores.TABLE).collect()


def scores_by_id(spark: SparkSession, namespace: str) -> dict[str, Any]:
    """The rows of scores by doc_id, of which each may have one."""
    rows = all_scores(spark, namespace)
    assert len({row["doc_id"] for row in rows}) == len(rows), "a document has two scores"
    return {row["doc_id"]: row for row in rows}


def corpus_table(namespace: str) -> str:
    """The namespace's corpus as quoted SQL."""
    return Namespace.parse(namespace).identifier("corpus")


def run_row(**changes: Any) -> dict[str, Any]:
    """A row of runs, of a run that is half done."""
    row = {
        "run_id": "r1",
        "scorer_id": "s1",
        "source": "corpus",
        "source_id": None,
        "mode": "stream",
        "source_version": 3,
        "state": "running",
        "message": None,
        "num_to_do": 100,
        "num_skipped": 0,
        "num_documents": 40,
        "num_tokens": 12_000,
        "num_failed": 0,
        "num_float32_windows": 0,
        "tokens_per_second": 250.0,
        "seconds_left": 72.0,
        "num_devices": 2,
        "device_hours": 0.5,
        "started_at": NOW,
        "updated_at": datetime.now(UTC),
    }
    return row | changes


def write_runs(spark: SparkSession, namespace: str, *rows: dict[str, Any]) -> None:
    """Append the rows to the namespace's runs."""
    place = Namespace.parse(namespace)
    place.create(spark, runs.TABLE)
    place.append(
        local_rows(spark, [tuple(row[name] for name in runs.TABLE.schema.names) for row in rows], runs.TABLE.schema),
        runs.TABLE,
    )
