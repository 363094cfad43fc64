"""What a scorer has scored, as the stages after it read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jobs.corpus.choices import only_or_named
from jobs.settings.messages import nearest
from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.settings.documents import DocumentTable
    from jobs.spark.namespace import Namespace


def current_scores(
    spark: SparkSession, namespace: Namespace, scorer_id: str, source: DocumentTable
) -> tuple[DataFrame, dict[str, int | None]]:
    """The scorer's last attempt at the text that each document has now, and the versions of the tables read for it.

    Reads the source once, where it is there. Else, and of what was read from other tables than the namespace's corpus,
    every text counts as one that its document has now, the latest of each.
    """
    from jobs.corpus.documents import read_at_newest_version
    from jobs.spark.time_travel import read_at_version
    from schemas import corpus, runs, scores

    found, version = read_at_version(spark, namespace.identifier(scores.TABLE.name))
    versions = {scores.TABLE.name: version}
    found = found.filter(found.scorer_id == scorer_id)
    if source.table or namespace.exists(spark, corpus.TABLE.name):
        documents, versions[source.table or corpus.TABLE.name] = read_at_newest_version(spark, namespace, source)
        texts = run_statement(spark, "corpus/live_texts", corpus=documents)
        if source.table:
            # Whoever names a table wants its documents, and no others.
            found = found.drop("domain").join(texts, on=["doc_id", "text_sha256"])
        elif namespace.exists(spark, runs.TABLE.name):
            found = run_statement(
                spark,
                "corpus/live_scores",
                scores=found,
                live_texts=texts,
                runs=namespace.read(spark, runs.TABLE),
                corpus_name=namespace.identifier(corpus.TABLE.name),
            )
    return run_statement(spark, "corpus/current_scores", live_scores=found), versions


def scored_documents(current: DataFrame) -> DataFrame:
    """Those of the current scores that are one: doc_id, domain, influence_score, num_tokens, text_sha256."""
    columns = ("doc_id", "domain", "influence_score", "num_tokens", "text_sha256")
    return current.filter(current.status == "scored").select(*columns)


def known_domains(spark: SparkSession, namespace: Namespace, scorer_id: str, source: DocumentTable) -> set[str]:
    """The domains in which the scorer has scored anything, now or earlier, and those of the source."""
    from pyspark.sql import functions as F

    from jobs.corpus.documents import read_documents
    from schemas import corpus, scores

    scored = namespace.read(spark, scores.TABLE).filter(F.col("scorer_id") == scorer_id)
    found = scored.filter("status = 'scored'").select("domain")
    if source.table or namespace.exists(spark, corpus.TABLE.name):
        found = found.union(read_documents(spark, namespace, source).select("domain"))
    domain = F.coalesce(F.nullif(F.trim(F.make_valid_utf8("domain")), F.lit("")), F.lit(corpus.UNKNOWN_DOMAIN))
    return {row[0] for row in found.select(domain).distinct().collect()}


def require_known_domains(flag: str, named: Iterable[str], domains: set[str]) -> None:
    """Raise ValueError where the flag names a domain that has no scored document."""
    for domain in named:
        if domain not in domains:
            raise ValueError(f"{flag} {domain!r} has no scored document; {nearest(domain, domains)}")


def choose_scorer(spark: SparkSession, namespace: Namespace, scorer_id: str | None) -> str:
    """The scorer that was named, or the only one; ValueError that lists them where that is not one."""
    from schemas import scorers

    known = namespace.read(spark, scorers.TABLE).orderBy("created_at", "scorer_id").collect()
    chosen = only_or_named(
        namespace,
        known,
        scorer_id,
        key="scorer_id",
        missing="scorer yet; score first: attention-influence score ...",
        several=f"{len(known)} scorers",
        describe=lambda row: (
            f"{row['model_name']}, mask {row['mask_id']} ({row['mask_mode']}), window {row['window']}, "
            f"{row['dtype']}, since {row['created_at']:%Y-%m-%d %H:%M}"
        ),
    )
    return str(chosen["scorer_id"])


def require_scored(all_scores: DataFrame, scorer_id: str) -> None:
    """Raise ValueError, with what became of its documents, when the scorer has scored none."""
    from pyspark.sql import functions as F

    rows = all_scores.where(F.col("scorer_id") == scorer_id).groupBy("status").count().orderBy("status").collect()
    counts = {row["status"]: row["count"] for row in rows}
    if not counts.get("scored"):
        found = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no rows at all"
        raise ValueError(f"scorer {scorer_id} has no scored document ({found}); score some first")


def no_live_score(scorer_id: str, source: DocumentTable) -> ValueError:
    """What to say where the scorer has scored documents, but none of the texts that there are now."""
    table = source.table or "the namespace's corpus"
    return ValueError(
        f"scorer {scorer_id} has scored none of the texts that {table} has now; score them first, or name the table "
        "that was scored with --corpus-table"
    )
