"""What runs and streams say they have read of a source, and whether the scores still have what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import runs, scores

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.scoring.source import SourceTable
    from jobs.spark.namespace import Namespace

# Commits of scores that are looked at first; ten times as many each time that these do not reach back far enough.
NUM_COMMITS = 100
# Operations that remove rows from a table, or change them.
SHRINKING = ("RESTORE", "DELETE", "MERGE", "UPDATE", "TRUNCATE")


def was_read_before(spark: SparkSession, namespace: Namespace, source: SourceTable) -> bool:
    """Whether a run of any scorer, however it ended, has read from the source."""
    if source.source_id is None or not namespace.exists(spark, runs.TABLE.name):
        return False
    table = namespace.read(spark, runs.TABLE)
    return not table.filter(table.source_id == source.source_id).isEmpty()


def runs_of(spark: SparkSession, namespace: Namespace, source: SourceTable, *, scorer_id: str) -> DataFrame:
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


def require_scores_only_grew(
    spark: SparkSession, namespace: Namespace, own_runs: DataFrame, *, checkpoint: str
) -> None:
    """Raise ValueError when scores have lost or changed rows and the checkpoint's stream would not score them again.

    Call it after the run's clock has started: the next run relies on this one for everything before that moment.
    """
    from pyspark.sql import functions as F

    # A run with a limit has no version, and has not read everything.
    is_whole = (own_runs.state == "finished") & own_runs.source_version.isNotNull()
    last_whole, first = own_runs.agg(
        F.max(F.when(is_whole, own_runs.started_at)), F.min(own_runs.started_at)
    ).collect()[0]
    if last_whole is None and not _is_checkpoint(spark, checkpoint):
        # The stream begins where the source does, and skips nothing.
        return
    when = _shrunk(spark, namespace.identifier(scores.TABLE.name), last_whole or first)
    if when is not None:
        raise ValueError(
            f"the scores table was restored, or rows of it were deleted or changed, at {when:%Y-%m-%d %H:%M}; a stream "
            "would skip what it has read before; run score once with --mode reconcile"
        )


def checkpoint_folder(
    spark: SparkSession,
    namespace: Namespace,
    base: str | None,
    *,
    scorer_id: str,
    source_id: str,
    first_version: int,
) -> str:
    """The folder of a stream's checkpoint; ValueError where base is itself the checkpoint of a stream.

    Each scorer, source, first version and scores table has its own: no stream goes on from what another one has read.
    base: the folder for checkpoints, by default in the namespace's folder, or under the location of the scores table.
    """
    detail = _scores_detail(spark, namespace)
    if base and _is_checkpoint(spark, base.rstrip("/")):
        raise ValueError(
            f"--checkpoint {base} is the checkpoint of one stream; name a folder in which each gets one of its own"
        )
    base = base or f"{namespace.folder or detail['location']}/_checkpoints"
    return f"{base.rstrip('/')}/{scorer_id}/{source_id}-from-{first_version}-into-{detail['id']}"


def _shrunk(spark: SparkSession, identifier: str, since: datetime | None) -> datetime | None:
    """When the table last lost or changed rows, if that was not before since; None where it has only grown."""
    limit = NUM_COMMITS
    while True:
        # Newest first: there may be very many of them.
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


def _is_checkpoint(spark: SparkSession, folder: str) -> bool:
    """Whether the folder is a stream's checkpoint; read by Spark, so that it may be on any file system."""
    from pyspark.errors import PySparkException

    try:
        lines = spark.read.text(f"{folder}/metadata").take(1)
    except PySparkException:
        # Where a folder cannot be read, the stream itself fails, and says why.
        return False
    return bool(lines) and lines[0][0].startswith('{"id"')


def _scores_detail(spark: SparkSession, namespace: Namespace) -> Row:
    return spark.sql(f"describe detail {namespace.identifier(scores.TABLE.name)}").collect()[0]
