"""Why documents failed in a run, and whether so many did that the run stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.spark.spark_errors import reason
from schemas import scores

if TYPE_CHECKING:
    from jobs.scoring.run_log import RunLog

QUERY = "SELECT doc_id, error_class, error_message FROM scores WHERE run_id = :run_id AND status = 'failed'"
# Fewer do not tell a bad corpus from a bad start.
ENOUGH_DOCUMENTS = 1000


def stop_if_too_many_failed(log: RunLog, max_failed_fraction: float, *, at_end: bool = False) -> None:
    """Raise ValueError when more than max_failed_fraction of the documents failed at their first attempt.

    Documents that failed in an earlier run do not count: they would stop each run that tries them again.
    """
    if log.num_new_failed <= max_failed_fraction * log.num_new:
        return
    if at_end or log.num_new >= ENOUGH_DOCUMENTS:
        raise ValueError(
            f"{log.num_new_failed:,} of {log.num_new:,} documents failed at their first attempt, more than "
            f"--max-failed-fraction {max_failed_fraction:g}; what was scored is kept ({failure_classes(log)})\n"
            f"{failures_query(log)}"
        )


def failure_classes(log: RunLog) -> str:
    """The classes of the run's failures with their counts."""
    try:
        table = log.namespace.read(log.spark, scores.TABLE)
        failed = table.filter((table.run_id == log.run_id) & (table.status == "failed"))
        rows = failed.groupBy("error_class").count().orderBy("count", ascending=False).collect()
    except Exception as error:
        return f"classes unknown: {reason(error)}"
    return ", ".join(f"{row['count']:,} {row['error_class']}" for row in rows)


def failures_query(log: RunLog) -> str:
    """The command that lists the run's failures."""
    query = QUERY.replace(":run_id", f"'{log.run_id}'")
    return f'which ones, and why: attention-influence sql --namespace {log.namespace} "{query}"'
