"""What runs and streams say they have read of a source, and whether the scores still have what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobs.scoring.source_errors import RECONCILE
from schemas import runs, scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import Row, SparkSession

    from jobs.scoring.source import SourceTable
    from jobs.spark.namespace import Namespace

# Commits of scores that are looked at first; ten times as many each time that these do not reach back far enough.
NUM_COMMITS = 100
# Operations that remove rows from a table, or change them.
SHRINKING = ("RESTORE", "DELETE", "MERGE", "UPDATE", "TRUNCATE")
# Operations that make another table of it.
MAKING = re.compile("CREATE|REPLACE|CLONE|CONVERT")
# By how much the clock of the machine that runs the driver, and that of the files' store, may differ.
CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True)
class RunHistory:
    """What the runs that have read a source say of it; all but was_read: those of one scorer, into these scores.

    was_read: whether a run of any scorer, however it ended, has read from it. num_documents: how many were scored,
    about. last_version: what the last finished run read that read a whole version, and so scored everything of it;
    last_compared: what the last such run of mode reconcile read, and compared_by, its run_id. last_whole: when the
    last run that read a whole version began, and last_ended, when it ended; first: when the first run of all began.
    """

    was_read: bool = False
    num_documents: int = 0
    last_version: int | None = None
    last_compared: int | None = None
    compared_by: str | None = None
    last_whole: datetime | None = None
    last_ended: datetime | None = None
    first: datetime | None = None


def read_history(
    spark: SparkSession, namespace: Namespace, source: SourceTable, *, scorer_id: str, since: datetime | None = None
) -> RunHistory:
    """What earlier runs say of the source, found in one look at `runs`.

    since: when the scores table was made. Runs from before count for was_read alone: what they wrote has gone with an
    older one.
    """
    from pyspark.sql import functions as F

    if source.source_id is None or not namespace.exists(spark, runs.TABLE.name):
        return RunHistory()
    table = namespace.read(spark, runs.TABLE).where(F.col("source_id") == source.source_id)
    own = F.col("scorer_id") == scorer_id
    if since is not None:
        own &= F.col("started_at") >= since
    # A run with a limit has no version, and has not read everything.
    is_whole = own & (F.col("state") == "finished") & F.col("source_version").isNotNull()
    # The last one's, not the largest: a table that was put back from a copy has versions again that it had before.
    is_compared = is_whole & (F.col("mode") == "reconcile")
    facts = table.agg(
        F.count("*").alias("num_runs"),
        F.sum(F.when(own, F.col("num_documents"))).alias("num_documents"),
        F.max_by("source_version", F.when(is_whole, F.col("started_at"))).alias("last_version"),
        F.max_by("source_version", F.when(is_compared, F.col("started_at"))).alias("last_compared"),
        F.max_by("run_id", F.when(is_compared, F.col("started_at"))).alias("compared_by"),
        F.max(F.when(is_whole, F.col("started_at"))).alias("last_whole"),
        F.max_by("updated_at", F.when(is_whole, F.col("started_at"))).alias("last_ended"),
        F.min(F.when(own, F.col("started_at"))).alias("first"),
    )
    row = facts.collect()[0].asDict()
    num_runs, num_documents = row.pop("num_runs"), row.pop("num_documents")
    return RunHistory(was_read=num_runs > 0, num_documents=num_documents or 0, **row)


def scores_made_at(spark: SparkSession, namespace: Namespace) -> datetime:
    """When the scores table was made; now, where there is none, since it will be made later."""
    if not namespace.exists(spark, scores.TABLE.name):
        return datetime.now(UTC)
    made: datetime = _scores_detail(spark, namespace)["createdAt"]
    return made


def has_read_all(spark: SparkSession, namespace: Namespace, source: SourceTable, *, scorer_id: str) -> bool:
    """Whether it is certain that a run of the scorer has scored all of the source, and that its scores are still there.

    Found in few looks and without the model. Where this is False, a run may still find that there is nothing to do.
    """
    history = read_history(spark, namespace, source, scorer_id=scorer_id)
    if history.last_whole is None or history.last_version != source.version or _may_be_put_back(history, source):
        return False
    if not namespace.exists(spark, scores.TABLE.name):
        return False
    for commit in _newest_commits(spark, namespace.identifier(scores.TABLE.name)):
        if _utc(commit["timestamp"]) < _utc(history.last_whole):
            return True
        # Without an operation nobody knows what the commit has done.
        if not commit["operation"] or MAKING.search(commit["operation"]) or _has_shrunk_by(commit):
            return False
    return False


def require_same_source(spark: SparkSession, history: RunHistory, source: SourceTable) -> None:
    """Raise ValueError where the source has other versions than those that runs have read: it was put back from a copy.

    It then has the id and the place that it had, so that a stream would take its new commits for those that it knows.
    """
    last, version = history.last_version, source.version
    if last is None or version is None:
        return
    if version == last and _may_be_put_back(history, source):
        for commit in _newest_commits(spark, source.identifier):
            if commit["version"] <= version:
                is_other = commit["version"] == version and _is_after(commit["timestamp"], history.last_ended)
                break
        else:
            is_other = True
    else:
        is_other = version < last
    if is_other:
        raise ValueError(
            f"{source.identifier} is at version {version}, made after an earlier run had read version {last} of it: it "
            f"was put back from a copy; {RECONCILE}"
        )


def _may_be_put_back(history: RunHistory, source: SourceTable) -> bool:
    """Whether the source was written to since the last run had read its version, by the times of both."""
    return _is_after(source.modified_at, history.last_ended)


def _is_after(commit: datetime | None, run: datetime | None) -> bool:
    return commit is None or run is None or _utc(commit) > _utc(run) + CLOCKS_DIFFER


def _utc(when: datetime) -> datetime:
    # Spark gives local times, of which an hour comes twice when the clocks are put back.
    return when.astimezone(UTC)


def require_scores_only_grew(
    spark: SparkSession, namespace: Namespace, history: RunHistory, *, checkpoint: str
) -> None:
    """Raise ValueError when scores have lost or changed rows and the checkpoint's stream would not score them again.

    The run's clock must have started before: the next run relies on this one for everything before that moment.
    """
    if history.last_whole is None and not _is_checkpoint(spark, checkpoint):
        # The stream begins where the source does, and skips nothing.
        return
    when = _shrunk(spark, namespace.identifier(scores.TABLE.name), history.last_whole or history.first)
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
    history: RunHistory,
) -> str:
    """The folder of a stream's checkpoint; ValueError where base is itself the checkpoint of a stream.

    Each scorer, source, comparison of all of it, and scores table has its own: no stream goes on from what another one
    has read. base: the folder for checkpoints, by default in the namespace's folder, or under the location of the
    scores table.
    """
    detail = _scores_detail(spark, namespace)
    if base and _is_checkpoint(spark, base.rstrip("/")):
        raise ValueError(
            f"--checkpoint {base} is the checkpoint of one stream; name a folder in which each gets one of its own"
        )
    base = base or f"{namespace.folder or detail['location']}/_checkpoints"
    after = "0" if history.last_compared is None else f"{history.last_compared + 1}-after-{history.compared_by}"
    return f"{base.rstrip('/')}/{scorer_id}/{source_id}-from-{after}-into-{detail['id']}"


def _shrunk(spark: SparkSession, identifier: str, since: datetime | None) -> datetime | None:
    """When the table last lost or changed rows, if that was not before since; None where it has only grown."""
    for commit in _newest_commits(spark, identifier):
        if since is not None and _utc(commit["timestamp"]) < _utc(since):
            return None
        if _has_shrunk_by(commit):
            when: datetime = commit["timestamp"]
            return when
    return None


def _newest_commits(spark: SparkSession, identifier: str) -> Iterator[Row]:
    """The table's commits, newest first: there may be very many of them."""
    limit, num_seen = NUM_COMMITS, 0
    while True:
        commits = spark.sql(f"describe history {identifier} limit {limit}").collect()
        yield from commits[num_seen:]
        if len(commits) < limit:
            return
        limit, num_seen = limit * 10, limit


def _has_shrunk_by(commit: Row) -> bool:
    return commit["operation"] in SHRINKING or (commit["operationParameters"] or {}).get("mode") == "Overwrite"


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
