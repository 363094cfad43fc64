"""What ends a Python worker, and whether a document can be the cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

# What Spark says when a Python worker, or the executor that it belongs to, is gone all at once.
_DEATHS = re.compile(
    r"Python worker exited unexpectedly|ExecutorLostFailure|ExecutorDeadException|worker process has died"
)
# How a worker's error begins, below its stack, where a text was too much for the model, its device or its memory. Any
# other error, such as a ValueError of this project, is no document's fault.
_RAISED = re.compile(r"^(?:torch\.[\w.]+|RuntimeError|IndexError|MemoryError)\b.*", re.MULTILINE)


def worker_failure(error: BaseException) -> str | None:
    """What ended a worker, in a few words, where a document can be the cause; None where it cannot."""
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
