"""What is to be scored, as a table with a history: its Delta id and version, and what a run may take as read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.corpus.documents import source_name
from jobs.settings.documents import DocumentTable
from jobs.spark.namespace import Namespace
from schemas import runs, scores
from schemas.identity import identity

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, Row, SparkSession

# Commits of scores that are looked at first; ten times as many each time that they are too few.
NUM_COMMITS = 100
# What takes rows from a table, or changes them.
SHRINKING = ("RESTORE", "DELETE", "MERGE", "UPDATE", "TRUNCATE")


@dataclass(frozen=True)
class SourceTable:
    """A table as quoted SQL, its path where it was named by one, and what a Delta table alone has.

    source_id: a hash of its Delta id, its place and the columns that are read, by which one made anew, copied file by
    file (which keeps the id), or read otherwise, is told.
    """

    identifier: str
    path: str | None
    source_id: str | None
    version: int | None


def find_source(spark: SparkSession, namespace: Namespace, source: DocumentTable) -> SourceTable:
    """The table that the source names; it must exist."""
    from pyspark.errors import PySparkException

    identifier = source_name(namespace, source)
    path = identifier[len("delta.`") : -1].replace("``", "`") if identifier.startswith("delta.`") else None
    try:
        detail = spark.sql(f"describe detail {identifier}").collect()[0]
        version = spark.sql(f"describe history {identifier} limit 1").collect()[0]["version"]
    except (PySparkException, IndexError):
        return SourceTable(identifier, path, None, None)
    source_id = identity(detail["id"], detail["location"], source.doc_id, source.text, source.domain)
    return SourceTable(identifier, path, source_id, version)


def was_read_before(spark: SparkSession, namespace: Namespace, source: SourceTable) -> bool:
    """Whether a run of any scorer, however it ended, has read from the source."""
    if source.source_id is None or not namespace.exists(spark, runs.TABLE.name):
        return False
    table = namespace.read(spark, runs.TABLE)
    return not table.filter(table.source_id == source.source_id).isEmpty()


def runs_of(spark: SparkSession, namespace: Namespace, source: SourceTable, scorer_id: str) -> DataFrame:
    """The scorer's runs on the source.

    Runs from before the scores table was made do not count: what they wrote has gone with an older one.
    """
    table = namespace.read(spark, runs.TABLE)
    return table.filter(
        (table.scorer_id == scorer_id)
        & (table.source_id == source.source_id)
        & (table.started_at >= _scores_detail(spark, namespace)["createdAt"])
    )


def last_read_version(own_runs: DataFrame, mode: str | None = None) -> int | None:
    """The newest version of the source of which a finished one of the runs, in that mode, has scored everything."""
    finished = own_runs.filter("state = 'finished'")
    if mode:
        finished = finished.filter(finished["mode"] == mode)
    version: int | None = finished.agg({"source_version": "max"}).collect()[0][0]
    return version


def require_scores_only_grew(spark: SparkSession, namespace: Namespace, own_runs: DataFrame, checkpoint: str) -> None:
    """Raise ValueError when scores have lost or changed rows of which the stream of the checkpoint may know nothing.

    Call it when the run's clock has started: the next run takes this one's word for all that was before.
    """
    from pyspark.sql import functions as F

    # A run with a limit has no version, and has not read everything.
    is_whole = (own_runs.state == "finished") & own_runs.source_version.isNotNull()
    last_whole, first = own_runs.agg(
        F.max(F.when(is_whole, own_runs.started_at)), F.min(own_runs.started_at)
    ).collect()[0]
    if last_whole is None and not _is_checkpoint(spark, checkpoint):
        # The stream begins with the source, and passes over nothing.
        return
    when = _shrunk(spark, namespace.identifier(scores.TABLE.name), last_whole or first)
    if when is not None:
        raise ValueError(
            f"the scores table was restored, or rows of it were deleted or changed, at {when:%Y-%m-%d %H:%M}; a stream "
            "would pass over what it has read before; run score once with --mode reconcile"
        )


def _shrunk(spark: SparkSession, identifier: str, since: datetime | None) -> datetime | None:
    """When the table last lost or changed rows, if that was no earlier than since; None where it has only grown."""
    limit = NUM_COMMITS
    while True:
        # Newest first: all of them may be very many.
        commits = spark.sql(f"describe history {identifier} limit {limit}").collect()
        for commit in commits:
            if since is not None and commit["timestamp"] < since:
                return None
            if commit["operation"] in SHRINKING or (commit["operationParameters"] or {}).get("mode") == "Overwrite":
                when: datetime = commit["timestamp"]
                return when
        if len(commits) < limit:
            return None
        limit *= 10


def checkpoint_folder(
    spark: SparkSession, namespace: Namespace, base: str | None, scorer_id: str, source_id: str, first_version: int
) -> str:
    """The folder of a stream's checkpoint; ValueError where base is the checkpoint of a stream itself.

    It is of one scorer, source, beginning and scores table: what it says was read is found in no other. base: the
    folder for checkpoints, by default in the namespace's folder, or under the scores table's own.
    """
    detail = _scores_detail(spark, namespace)
    if base and _is_checkpoint(spark, base.rstrip("/")):
        raise ValueError(
            f"--checkpoint {base} is the checkpoint of one stream; name a folder in which each gets one of its own"
        )
    base = base or f"{namespace.folder or detail['location']}/_checkpoints"
    return f"{base.rstrip('/')}/{scorer_id}/{source_id}-from-{first_version}-into-{detail['id']}"


def _is_checkpoint(spark: SparkSession, folder: str) -> bool:
    """Whether a stream keeps there what it has read; read by Spark, so that the folder may be anywhere."""
    from pyspark.errors import PySparkException

    try:
        lines = spark.read.text(f"{folder}/metadata").take(1)
    except PySparkException:
        # What cannot be read is a matter for the stream, which says why.
        return False
    return bool(lines) and lines[0][0].startswith('{"id"')


def _scores_detail(spark: SparkSession, namespace: Namespace) -> Row:
    return spark.sql(f"describe detail {namespace.identifier(scores.TABLE.name)}").collect()[0]
