"""What ends a worker, and whether a document can be the cause."""

from __future__ import annotations

import pytest

from jobs.spark.conflicts import is_conflict
from jobs.spark.worker_errors import worker_failure

STACK = 'Job aborted due to stage failure:\nTraceback (most recent call last):\n  File "paired.py", line 9, in _sums\n'


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("Job aborted due to stage failure: ... Python worker exited unexpectedly (crashed)", "died"),
        ("ExecutorLostFailure (executor 1 exited caused by one of the running tasks)", "died"),
        (
            f"{STACK}torch.AcceleratorError: CUDA error: device-side assert triggered\nCompile with ...",
            "torch.AcceleratorError: CUDA error: device-side assert triggered",
        ),
        (
            f"{STACK}RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory",
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory",
        ),
        (f"{STACK}MemoryError\n", "MemoryError"),
        (f"{STACK}ValueError: model 'x' cannot be loaded", None),
        (f"{STACK}ValueError: model 'x' cannot be loaded: RuntimeError: a bad file", None),
        (f"{STACK}OSError: [Errno 28] No space left on device", None),
        ("java.lang.RuntimeException: ...\nCaused by: java.lang.OutOfMemoryError: Java heap space", None),
        ("java.io.IOException: No space left on device", None),
    ],
)
def test_what_a_document_can_cause_is_told_from_what_it_cannot(text: str, failure: str | None) -> None:
    assert worker_failure(RuntimeError(text)) == failure
    assert not is_conflict(RuntimeError(text))
