"""Rank: the rank of each scored document in its domain, for one scorer."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pydantic import Field

from jobs.ranking.ranks import SMALL_DOMAIN, Method
from jobs.settings.documents import DocumentSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class RankSettings(DocumentSettings):
    """Rank the scored documents of one scorer within their domains, into the rankings table.

    Scores of different domains, and of different scorers, do not compare. Ranking again replaces that scorer's rows.
    """

    scorer_id: str | None = Field(None, description="which scorer's scores to rank; needed if there are several")
    method: Method = Field(
        "auto",
        description="window: one task sorts a domain; bins: many tasks do, for domains of millions; both give the same "
        "ranks. auto chooses by the largest domain",
    )
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")


def run(settings: RankSettings, spark: SparkSession) -> None:
    """Replace this scorer's rankings in one commit, and print what came out."""
    from pyspark.sql import functions as F

    from jobs.corpus.scored import choose_scorer, current_scores, no_live_score, scored_documents
    from jobs.ranking.ranks import choose_method, ranked
    from jobs.spark.caching import persisted
    from jobs.spark.namespace import Namespace
    from jobs.spark.statements import run_statement
    from jobs.spark.tasks import enough_tasks
    from schemas import rankings

    namespace = Namespace.parse(settings.namespace)
    scorer_id, num_rows = choose_scorer(spark, namespace, settings.scorer_id)
    source = settings.document_table()
    is_read_once = num_rows <= SMALL_DOMAIN and settings.method != "bins"
    current = current_scores(
        spark,
        namespace,
        scorer_id=scorer_id,
        num_rows=num_rows,
        source=source,
        at_version=not is_read_once,
    )
    documents = scored_documents(current.rows).withColumn("order_value", F.col("influence_score"))
    with ExitStack() as stack:
        stack.enter_context(enough_tasks(spark, num_rows, is_small=current.is_small))
        if not is_read_once:
            stack.enter_context(persisted(documents))
        method = choose_method(documents, num_rows) if settings.method == "auto" else settings.method
        rows = ranked(spark, documents, method).withColumn("scorer_id", F.lit(scorer_id))
        rows = stack.enter_context(persisted(rows.select(*rankings.TABLE.schema.names)))
        summary = run_statement(spark, "ranking/ranking_summary", {"scorer_id": scorer_id}, rankings=rows).collect()
        if not summary:
            raise no_live_score(scorer_id, source)
        namespace.create(spark, rankings.TABLE)
        namespace.replace(rows, rankings.TABLE, column="scorer_id", value=scorer_id)
    in_order = sorted(summary, key=lambda row: str(row["domain"]))
    _report(settings, scorer_id, method=method, domains=[row.asDict() for row in in_order])


def _report(settings: RankSettings, scorer_id: str, *, method: str, domains: list[dict[str, object]]) -> None:
    from jobs.terminal.display import printable

    if settings.json_output:
        result = {"scorer_id": scorer_id, "namespace": settings.namespace, "method": method, "domains": domains}
        print(json.dumps(result))
        return
    for row in domains:
        domain, best, worst = (printable(str(row[name]), 60) for name in ("domain", "best_doc_id", "worst_doc_id"))
        print(
            f"{domain}: {row['num_documents']} documents, best {best} ({row['best_score']:.4f}), "
            f"worst {worst} ({row['worst_score']:.4f})"
        )
    how = "by windows over whole domains" if method == "window" else "in bins of each domain"
    print(f"ranked {how} for scorer {scorer_id} into the rankings table of {settings.namespace}")
