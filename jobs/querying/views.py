"""Views: what people ask of the tables most, in a schema for good, or for the length of a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from jobs.settings.stage import StageSettings
from jobs.spark.statements import run_statement, statement
from schemas.quoting import quote_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.spark.namespace import Namespace

# Each view is a statement of corpus/sql over these tables and views, after those it needs, and the corpus's own name.
VIEWS = {
    "live_texts": ("corpus",),
    "live_scores": ("scores", "live_texts", "runs", "corpus_name"),
    "current_scores": ("live_scores",),
    "domain_summary": ("current_scores",),
    "score_errors": ("current_scores",),
    "selected_documents": ("selections", "selection_runs"),
}
Source = TypeVar("Source")


class ViewsSettings(StageSettings):
    """Create current_scores, domain_summary, score_errors and selected_documents as views in the namespace's schema.

    A folder cannot hold views; attention-influence sql has them there without this stage.
    """


def run(settings: ViewsSettings, spark: SparkSession) -> None:
    """Create or replace each view whose tables are there, and print their names."""
    from jobs.spark.namespace import Namespace
    from jobs.spark.spark_errors import spark_reasons

    namespace = Namespace.parse(settings.namespace)
    if namespace.folder:
        raise ValueError(
            f"namespace {namespace} is a folder, which cannot hold views; query them with attention-influence sql"
        )
    there = {name: namespace.identifier(name) for name in namespace.table_names(spark) if name not in VIEWS}
    there["corpus_name"] = quote_text(namespace.identifier("corpus"))
    for name in VIEWS:
        if (inputs := _inputs(name, there, has_corpus="corpus" in there)) is None:
            continue
        # The statement's braces hold the names of its inputs, and nothing else.
        text = statement(f"corpus/{name}").format(**inputs)
        with spark_reasons(f"view {name} cannot be created in namespace {namespace}"):
            spark.sql(f"create or replace view {namespace.identifier(name)} as {text}")
        there[name] = namespace.identifier(name)
        print(f"created view {there[name]}")


def with_views(
    spark: SparkSession, namespace: Namespace, tables: Mapping[str, DataFrame], *, has_corpus: bool
) -> dict[str, DataFrame]:
    """The namespace's tables, and each view that they suffice for, by name; a table of a view's name stays as it is.

    has_corpus: whether there is one, which may yet be a table that cannot be read.
    """
    found = dict(tables)
    there: dict[str, DataFrame | str] = {**tables, "corpus_name": namespace.identifier("corpus")}
    for name in VIEWS:
        if name not in found and (inputs := _inputs(name, there, has_corpus=has_corpus)) is not None:
            there[name] = found[name] = run_statement(spark, f"corpus/{name}", None, **inputs)
    return found


def _inputs(view: str, there: Mapping[str, Source], *, has_corpus: bool) -> dict[str, Source] | None:
    """What the view is made of, None where something is missing.

    Without a corpus in the namespace, whose documents are then elsewhere, every text that was scored counts as live.
    """
    stand_ins = {} if has_corpus else {"live_scores": "scores"}
    names = {name: stand_ins.get(name, name) for name in VIEWS[view]}
    if not set(names.values()) <= there.keys():
        return None
    return {name: there[found] for name, found in names.items()}
