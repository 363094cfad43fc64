"""What can go wrong in Spark while others work beside us, and what each failure means for a run."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

# What Delta says when somebody else has written since we read.
_CONFLICTS = re.compile(
    r"DELTA_CONCURRENT_|DELTA_METADATA_CHANGED|DELTA_PROTOCOL_CHANGED|"
    r"Concurrent(Append|DeleteRead|DeleteDelete|Transaction|Write|Modification)Exception"
)
# What Spark says when a Python worker, or the executor that it belongs to, is suddenly gone.
_DEATHS = re.compile(
    r"Python worker exited unexpectedly|ExecutorLostFailure|ExecutorDeadException|worker process has died"
)
# How a worker's error begins, below its stack, where the model, its device or its memory could not take a text. Any
# other error, such as a ValueError of ours, is no document's fault.
_RAISED = re.compile(r"^(?:torch\.[\w.]+|RuntimeError|IndexError|MemoryError)\b.*", re.MULTILINE)
# What Delta says of a table of which another writer has made the folder, and not yet the first commit.
_HALF_MADE = re.compile(r"DELTA_TABLE_NOT_FOUND|DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION|TABLE_\w*ALREADY_EXISTS")
MAX_CONFLICTS = 20
MAX_CREATIONS = 5


def is_conflict(error: BaseException) -> bool:
    """Whether another writer was faster."""
    return bool(_CONFLICTS.search(f"{type(error).__name__} {error}"))


def worker_failure(error: BaseException) -> str | None:
    """What ended a worker, in short, where a document can be the cause; None where it cannot."""
    if _DEATHS.search(str(error)):
        return "died"
    raised = _RAISED.search(str(error))
    return raised[0][:200] if raised else None


def workers_fail(failure: str, tasks: int) -> ValueError:
    """The error where workers fail at any text: it is then no document's fault."""
    return ValueError(
        f"Python workers fail at any text, even a short one ({failure}); there may be too little memory for the models "
        f"of {tasks} tasks (--tasks), or a library crashes: see what the executors log. What was scored is kept"
    )


def retry_conflicts(commit: Callable[[], Result]) -> Result:
    """What commit returns, tried again while other writers are faster; ValueError when they always are."""
    for attempt in range(1, MAX_CONFLICTS + 1):
        try:
            return commit()
        except Exception as error:
            if not is_conflict(error):
                raise
            if attempt == MAX_CONFLICTS:
                raise ValueError(
                    f"other runs of this scorer were faster {MAX_CONFLICTS} times in a row; run one at a time"
                ) from error
            print("another run wrote to the same table meanwhile; this is tried again", file=sys.stderr)
            time.sleep(min(10.0, 0.5 * attempt))
    raise AssertionError("unreachable")


def retry_creation(create: Callable[[], None]) -> None:
    """Call create, which makes a table, again for some seconds where another run may be making the same one."""
    for attempt in range(1, MAX_CREATIONS + 1):
        try:
            retry_conflicts(create)
            return
        except Exception as error:
            if attempt == MAX_CREATIONS or not _HALF_MADE.search(str(error)):
                raise
            time.sleep(0.5 * attempt)


@contextmanager
def worker_errors() -> Iterator[None]:
    """Raise a ValueError that stopped a Python worker as that ValueError, without its Java and Python stacks."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        message = re.search(r"^ValueError: (.+)$", str(error), re.MULTILINE)
        if message is None:
            raise
        raise ValueError(message[1]) from error
