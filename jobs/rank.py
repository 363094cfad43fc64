"""Rank: the place of each scored document in its domain, for one scorer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from jobs.cli import run_stage
from jobs.settings import StageSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.tables import Namespace


class RankSettings(StageSettings):
    """Rank the scored documents of one scorer within their domains, into the rankings table.

    Scores of different domains, and of different scorers, do not compare. Ranking again replaces that scorer's rows.
    """

    scorer_id: str | None = Field(None, description="which scorer's scores to rank; needed where there are several")
    json_output: bool = Field(False, alias="json", description="print one JSON object for programs")


def run(settings: RankSettings, spark: SparkSession) -> None:
    """Write this scorer's rankings in one commit, in the place of its earlier ones, and print what came out."""
    from jobs.statements import run_statement
    from jobs.tables import Namespace
    from schemas import rankings, scores
    from schemas.corpus import UNKNOWN_DOMAIN

    namespace = Namespace.parse(settings.namespace)
    all_scores = namespace.read(spark, scores.TABLE)
    scorer_id = choose_scorer(namespace, spark, settings.scorer_id)
    _require_scored(all_scores, scorer_id)
    namespace.create(spark, rankings.TABLE)
    values = {"scorer_id": scorer_id, "unknown_domain": UNKNOWN_DOMAIN}
    ranked = run_statement(spark, "rank", values, scores=all_scores)
    namespace.replace(ranked, rankings.TABLE, "scorer_id", scorer_id)
    written = namespace.read(spark, rankings.TABLE)
    summary = run_statement(spark, "ranking_summary", {"scorer_id": scorer_id}, rankings=written)
    _report(settings, scorer_id, [row.asDict() for row in summary.collect()])


def choose_scorer(namespace: Namespace, spark: SparkSession, scorer_id: str | None) -> str:
    """The scorer that was named, or the only one; ValueError that lists them where that is not one."""
    from schemas import scorers

    known = namespace.read(spark, scorers.TABLE).orderBy("created_at", "scorer_id").collect()
    found = [row for row in known if scorer_id in (None, row["scorer_id"])]
    if len(found) == 1:
        return str(found[0]["scorer_id"])
    listed = "".join(
        f"\n  {row['scorer_id']}  {row['model_name']}, mask {row['mask_id']} ({row['mask_mode']}), "
        f"window {row['window']}, {row['dtype']}, since {row['created_at']:%Y-%m-%d %H:%M}"
        for row in known
    )
    if not known:
        raise ValueError(f"namespace {namespace} has no scorer yet; score first: attention-influence score ...")
    if scorer_id is None:
        raise ValueError(f"namespace {namespace} has {len(known)} scorers; name one with --scorer-id:{listed}")
    raise ValueError(f"--scorer-id is {scorer_id!r}, but namespace {namespace} has only:{listed}")


def _require_scored(all_scores: DataFrame, scorer_id: str) -> None:
    from pyspark.sql import functions as F

    rows = all_scores.where(F.col("scorer_id") == scorer_id).groupBy("status").count().orderBy("status").collect()
    counts = {row["status"]: row["count"] for row in rows}
    if not counts.get("scored"):
        found = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no rows at all"
        raise ValueError(f"scorer {scorer_id} has no scored document to rank ({found}); score some first")


def _report(settings: RankSettings, scorer_id: str, domains: list[dict[str, object]]) -> None:
    if settings.json_output:
        print(json.dumps({"scorer_id": scorer_id, "namespace": settings.namespace, "domains": domains}))
        return
    for row in domains:
        print(
            f"{row['domain']}: {row['num_documents']} documents, best {row['best_doc_id']} ({row['best_score']:.4f}), "
            f"worst {row['worst_doc_id']} ({row['worst_score']:.4f})"
        )
    print(f"ranked by scorer {scorer_id} into the rankings table of {settings.namespace}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(RankSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
