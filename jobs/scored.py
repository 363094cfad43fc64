"""What a scorer has scored, as the stages after it read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.tables import Namespace


def scored_documents(spark: SparkSession, all_scores: DataFrame, scorer_id: str) -> DataFrame:
    """Each document whose newest text is scored: doc_id, domain, influence_score, num_tokens, text_sha256."""
    from schemas.corpus import UNKNOWN_DOMAIN

    values = {"scorer_id": scorer_id, "unknown_domain": UNKNOWN_DOMAIN}
    return run_statement(spark, "scored_documents", values, scores=all_scores)


def live_scores(
    spark: SparkSession, namespace: Namespace, all_scores: DataFrame, scorer_id: str
) -> tuple[DataFrame, dict[str, int | None]]:
    """The scores of texts that the namespace's corpus has now, and the versions of what else was read for that.

    Reads the corpus once. All of the scores, and no versions, where the scorer has read another table than the corpus.
    """
    from pyspark.sql import functions as F

    from jobs.versions import read_at_version
    from schemas import corpus, runs

    identifier = namespace.identifier(corpus.TABLE.name)
    if not all(namespace.exists(spark, table.TABLE.name) for table in (corpus, runs)):
        return all_scores, {}
    sources = namespace.read(spark, runs.TABLE).filter(F.col("scorer_id") == scorer_id).select("source").distinct()
    if [row["source"] for row in sources.collect()] != [identifier]:
        return all_scores, {}
    table, version = read_at_version(spark, identifier)
    live = run_statement(spark, "live_texts", corpus=table)
    return all_scores.join(live, ["doc_id", "text_sha256"], "left_semi"), {corpus.TABLE.name: version}


def scored_domains(all_scores: DataFrame, scorer_id: str) -> set[str]:
    """The domains in which the scorer has scored anything, now or earlier."""
    from pyspark.sql import functions as F

    from schemas.corpus import UNKNOWN_DOMAIN

    scored = all_scores.filter((F.col("scorer_id") == scorer_id) & (F.col("status") == "scored"))
    domain = F.coalesce(F.nullif(F.trim("domain"), F.lit("")), F.lit(UNKNOWN_DOMAIN))
    return {row[0] for row in scored.select(domain).distinct().collect()}


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


def require_scored(all_scores: DataFrame, scorer_id: str) -> None:
    """Raise ValueError, with what became of its documents, when the scorer has scored none."""
    from pyspark.sql import functions as F

    rows = all_scores.where(F.col("scorer_id") == scorer_id).groupBy("status").count().orderBy("status").collect()
    counts = {row["status"]: row["count"] for row in rows}
    if not counts.get("scored"):
        found = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no rows at all"
        raise ValueError(f"scorer {scorer_id} has no scored document ({found}); score some first")
