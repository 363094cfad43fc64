"""How much text goes into a commit, and how much is read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.scoring.plan import ScoringPlan
    from jobs.scoring.run_log import RunLog

# Smallest batch per model, in bytes of text. A run's first batch has this size: its speed is not known before.
MIN_BATCH_BYTES = 32 * 2**10
# Text read at once per task, in bytes. It waits on disk for its commits, each of which would otherwise read all of the
# source.
READ_BYTES = 4 * 2**30
# Enough commits in a run to see how far it is.
MIN_BATCHES = 20


def read_bytes(plan: ScoringPlan) -> int:
    """Text that is read at once, in bytes."""
    return READ_BYTES * plan.tasks


def commit_bytes(plan: ScoringPlan, log: RunLog, total: int) -> int:
    """Text in the next commit, in bytes, of a run that scores total bytes in all."""
    if plan.batch_bytes is not None:
        return plan.batch_bytes
    # At least one average document per model: a document is scored by one of them.
    smallest = log.num_devices * max(MIN_BATCH_BYTES, total // (log.num_to_do or 1))
    speed = log.bytes_per_second
    if speed is None:
        return smallest
    return max(smallest, min(total // MIN_BATCHES, int(speed * 60 * plan.batch_minutes)))
