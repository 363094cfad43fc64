"""What a scorer has scored, as the stages after it read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.corpus.choices import only_or_named
from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.settings.documents import DocumentTable
    from jobs.spark.namespace import Namespace


def current_scores(
    spark: SparkSession, namespace: Namespace, scorer_id: str, source: DocumentTable
) -> tuple[DataFrame, dict[str, int | None]]:
    """The scorer's last attempt at the text that each document has now, and the versions of the tables read for it.

    One row per document, with the columns of scores. The source says which texts documents have now. Where there is no
    source, and for documents scored from other tables than the namespace's corpus, it is the last text scored.
    """
    from jobs.corpus.documents import read_at_newest_version
    from schemas import corpus, runs, scores

    versions: dict[str, int | None] = {}
    all_scores, versions[scores.TABLE.name] = namespace.read_at_newest_version(spark, scores.TABLE)
    live = all_scores.filter(all_scores.scorer_id == scorer_id)
    if source.table or namespace.exists(spark, corpus.TABLE.name):
        documents, versions[source.table or corpus.TABLE.name] = read_at_newest_version(spark, namespace, source)
        texts = run_statement(spark, "corpus/live_texts", corpus=documents)
        if source.table:
            # Whoever names a table wants its documents, and no others.
            live = live.drop("domain").join(texts, on=["doc_id", "text_sha256"], how="inner")
        elif namespace.exists(spark, runs.TABLE.name):
            live = run_statement(
                spark,
                "corpus/live_scores",
                scores=live,
                live_texts=texts,
                runs=namespace.read(spark, runs.TABLE),
                corpus_name=namespace.identifier(corpus.TABLE.name),
            )
    return run_statement(spark, "corpus/current_scores", live_scores=live), versions


def scored_documents(current: DataFrame) -> DataFrame:
    """The documents that have a score: doc_id, domain, influence_score, num_tokens, text_sha256.

    current: as current_scores returns them.
    """
    columns = ("doc_id", "domain", "influence_score", "num_tokens", "text_sha256")
    return current.filter(current.status == "scored").select(*columns)


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
    """Raise ValueError, with the counts of its documents by status, when the scorer has scored none."""
    from pyspark.sql import functions as F

    rows = all_scores.where(F.col("scorer_id") == scorer_id).groupBy("status").count().orderBy("status").collect()
    counts = {row["status"]: row["count"] for row in rows}
    if not counts.get("scored"):
        statuses = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no rows at all"
        raise ValueError(f"scorer {scorer_id} has no scored document ({statuses}); score some first")


def no_live_score(scorer_id: str, source: DocumentTable) -> ValueError:
    """The error where the scorer has scored documents, but none of the texts that there are now."""
    table = source.table or "the namespace's corpus"
    return ValueError(
        f"scorer {scorer_id} has scored none of the texts that {table} has now; score them first, or name the table "
        "that was scored with --corpus-table"
    )
