"""What a scorer has scored, as the stages after it read it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.filesize import decimal

from jobs.corpus.choices import only_or_named
from jobs.spark.statements import run_statement
from jobs.spark.table_names import size_in_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.settings.documents import DocumentTable
    from jobs.spark.namespace import Namespace


# Bytes of a scored row in a file of scores: half a hash in hex, and five doubles, do not compress.
SMALLEST_ROW = 64
# A corpus of fewer bytes of files has few rows.
SMALL_BYTES = 2**30


@dataclass(frozen=True)
class CurrentScores:
    """A scorer's last attempts at the texts that documents have now, with the columns of scores.

    versions: of the tables that were read, by name. is_small: whether all of these tables have few rows.
    """

    rows: DataFrame
    versions: dict[str, int | None]
    is_small: bool


def current_scores(
    spark: SparkSession,
    namespace: Namespace,
    *,
    scorer_id: str,
    num_rows: int,
    source: DocumentTable,
    at_version: bool = True,
) -> CurrentScores:
    """The scorer's last attempt at the text that each document has now, one row per document.

    num_rows: of the scorer in scores. The source says which texts documents have now. Where there is no source, and for
    documents scored from other tables than the namespace's corpus, it is the last text scored. at_version: read scores
    and documents at their newest versions, whatever is written to them meanwhile; each takes a job to look up.
    """
    from jobs.corpus.documents import source_name
    from jobs.spark.tasks import FEW_ROWS
    from schemas import corpus, runs, scores

    versions: dict[str, int | None] = {}
    if at_version:
        all_scores, versions[scores.TABLE.name] = namespace.read_at_newest_version(spark, scores.TABLE)
    else:
        all_scores = namespace.read(spark, scores.TABLE)
    live = all_scores.filter(all_scores.scorer_id == scorer_id)
    is_small = num_rows <= FEW_ROWS
    if source.table or namespace.exists(spark, corpus.TABLE.name):
        num_bytes = size_in_bytes(spark, source_name(namespace, source))
        is_small = is_small and num_bytes is not None and num_bytes <= SMALL_BYTES
        texts, version = _live_texts(spark, namespace, source, num_bytes=num_bytes, at_version=at_version)
        versions |= {source.table or corpus.TABLE.name: version} if at_version else {}
        if source.table:
            # Whoever names a table wants its documents, and no others.
            live = live.drop("domain").join(texts, on=["doc_id", "text_sha256"], how="inner")
        elif namespace.exists(spark, runs.TABLE.name):
            inputs: dict[str, DataFrame | str] = {"corpus_name": namespace.identifier(corpus.TABLE.name)}
            inputs |= {"scores": live, "live_texts": texts, "runs": namespace.read(spark, runs.TABLE)}
            live = run_statement(spark, "corpus/live_scores", None, **inputs)
    rows = run_statement(spark, "corpus/current_scores", live_scores=live)
    return CurrentScores(rows=rows, versions=versions, is_small=is_small)


def _live_texts(
    spark: SparkSession, namespace: Namespace, source: DocumentTable, *, num_bytes: int | None, at_version: bool
) -> tuple[DataFrame, int | None]:
    """The hash of the text that each document of the source has now, and the source's version where it is read at it.

    num_bytes: the size of the source, for a message where its texts must be read.
    """
    from jobs.corpus.documents import read_at_newest_version, read_documents

    if source.table and source.text_sha256 is None:
        size = "" if num_bytes is None else f" ({decimal(num_bytes)})"
        print(
            f"reading the texts of {source.table}{size} to see which of them are scored; with their hashes in a "
            "column, --text-sha256-column spares that",
            file=sys.stderr,
        )
    version: int | None = None
    if at_version:
        documents, version = read_at_newest_version(spark, namespace, source)
    else:
        documents = read_documents(spark, namespace, source)
    return run_statement(spark, "corpus/live_texts", corpus=documents), version


def most_rows(spark: SparkSession, namespace: Namespace) -> int:
    """A number that the rows of scores are not more than, by the size of its files: none of them is read."""
    from schemas import scores

    namespace.read(spark, scores.TABLE)
    return (size_in_bytes(spark, namespace.identifier(scores.TABLE.name)) or 2**63) // SMALLEST_ROW


def scored_documents(current: DataFrame) -> DataFrame:
    """The documents that have a score: doc_id, domain, influence_score, num_tokens, text_sha256.

    current: as current_scores returns them.
    """
    columns = ("doc_id", "domain", "influence_score", "num_tokens", "text_sha256")
    return current.filter(current.status == "scored").select(*columns)


def choose_scorer(spark: SparkSession, namespace: Namespace, scorer_id: str | None) -> tuple[str, int]:
    """The scorer that was named, or the only one that has scored anything, and how many rows it has in scores.

    Raises ValueError that lists the scorers where that is not one, and where it has scored nothing.
    """
    from schemas import scores

    all_scores = namespace.read(spark, scores.TABLE)
    if scorer_id is not None:
        all_scores = all_scores.filter(all_scores.scorer_id == scorer_id)
    counts: dict[str, dict[str, int]] = {}
    for row in all_scores.groupBy("scorer_id", "status").count().collect():
        counts.setdefault(row["scorer_id"], {})[row["status"]] = row["count"]
    chosen = next(iter(counts)) if len(counts) == 1 else _named_scorer(spark, namespace, scorer_id)
    statuses = counts.get(chosen, {})
    if not statuses.get("scored"):
        listed = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "no rows at all"
        raise ValueError(f"scorer {chosen} has no scored document ({listed}); score some first")
    return chosen, sum(statuses.values())


def _named_scorer(spark: SparkSession, namespace: Namespace, scorer_id: str | None) -> str:
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


def no_live_score(scorer_id: str, source: DocumentTable) -> ValueError:
    """The error where the scorer has scored documents, but none of the texts that there are now."""
    table = source.table or "the namespace's corpus"
    return ValueError(
        f"scorer {scorer_id} has scored none of the texts that {table} has now; score them first, or name the table "
        "that was scored with --corpus-table"
    )
