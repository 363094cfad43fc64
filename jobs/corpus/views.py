"""Views: what people ask of the tables most. Which there are, what each is made of, and those of a query."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypeVar

from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.spark.namespace import Namespace

# From each view, a statement of corpus/sql, to its inputs: tables, views above it, and corpus_name, the corpus as SQL.
VIEWS = {
    "live_texts": ("corpus",),
    "live_scores": ("scores", "live_texts", "runs", "corpus_name"),
    "current_scores": ("live_scores",),
    "domain_summary": ("current_scores",),
    "score_errors": ("current_scores",),
    "selected_documents": ("selections", "selection_runs"),
}
Input = TypeVar("Input")


def with_views(
    spark: SparkSession,
    namespace: Namespace,
    tables: Mapping[str, DataFrame],
    *,
    has_corpus: bool,
    wanted: Collection[str],
) -> dict[str, DataFrame]:
    """The tables, and each wanted view that can be made of them, by name; a table of a view's name stays as it is.

    has_corpus: whether the namespace has one, even if it cannot be read.
    """
    result = dict(tables)
    available: dict[str, DataFrame | str] = {**tables, "corpus_name": namespace.identifier("corpus")}
    for name in VIEWS:
        if name in result or name not in wanted:
            continue
        inputs = view_inputs(name, available, has_corpus=has_corpus)
        if inputs is not None:
            available[name] = result[name] = run_statement(spark, f"corpus/{name}", None, **inputs)
    return result


def lacks_hashes(corpus_table: DataFrame) -> bool:
    """Whether this is a corpus of an older version, of which views cannot tell the texts: see ingest --upgrade."""
    from schemas import corpus
    from schemas.contract import missing_columns

    return bool(missing_columns(corpus_table.schema, corpus.TABLE))


def with_inputs(names: Collection[str]) -> set[str]:
    """The names, and the names of whatever the views among them are made of."""
    result = set(names)
    # A view comes after those that it is made of.
    for view in reversed(VIEWS):
        if view in result:
            result |= set(VIEWS[view])
    return result


def view_inputs(view: str, available: Mapping[str, Input], *, has_corpus: bool) -> dict[str, Input] | None:
    """The view's inputs, by the names in its statement; None where one is not available.

    Without a corpus in the namespace, the documents are elsewhere, and every text that was scored counts as live.
    """
    stand_ins = {} if has_corpus else {"live_scores": "scores"}
    taken_from = {name: stand_ins.get(name, name) for name in VIEWS[view]}
    if not set(taken_from.values()) <= available.keys():
        return None
    return {name: available[other] for name, other in taken_from.items()}
