"""Views: what people ask of the tables most, as views of a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.settings.stage import StageSettings
from schemas.quoting import quote_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class ViewsSettings(StageSettings):
    """Create current_scores, domain_summary, score_errors and selected_documents as views in the namespace's schema.

    A folder cannot hold views; attention-influence sql has them there without this stage.
    """


def run(settings: ViewsSettings, spark: SparkSession) -> None:
    """Create or replace each view whose tables exist, and print their names."""
    from jobs.corpus.views import VIEWS, view_inputs
    from jobs.spark.namespace import Namespace
    from jobs.spark.spark_errors import spark_reasons
    from jobs.spark.statements import statement
    from schemas import corpus

    namespace = Namespace.parse(settings.namespace)
    if namespace.folder:
        raise ValueError(
            f"namespace {namespace} is a folder, which cannot hold views; query them with attention-influence sql"
        )
    available = {name: namespace.identifier(name) for name in namespace.table_names(spark) if name not in VIEWS}
    if "corpus" in available:
        # A corpus of an older version is refused: the views over it would be empty.
        namespace.read(spark, corpus.TABLE)
    available["corpus_name"] = quote_text(namespace.identifier("corpus"))
    for name in VIEWS:
        inputs = view_inputs(name, available, has_corpus="corpus" in available)
        if inputs is None:
            continue
        # The statement's braces hold the names of its inputs, and nothing else.
        text = statement(f"corpus/{name}").format(**inputs)
        identifier = namespace.identifier(name)
        with spark_reasons(f"view {name} cannot be created in namespace {namespace}"):
            spark.sql(f"create or replace view {identifier} as {text}")
        available[name] = identifier
        print(f"created view {identifier}")
