"""Which failures are tried again, and how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.spark import failures
from jobs.spark.failures import MAX_CONFLICTS, is_conflict, retry_conflicts, worker_failure


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures.time, "sleep", lambda _seconds: None)


STACK = 'Job aborted due to stage failure:\nTraceback (most recent call last):\n  File "paired.py", line 9, in _sums\n'


class ConcurrentAppendException(Exception):  # noqa: N818
    """As Delta's own is called."""


def test_a_commit_that_others_were_faster_than_is_tried_again() -> None:
    outcomes: Iterator[Exception | None] = iter(
        [ConcurrentAppendException("files were added"), RuntimeError("[DELTA_CONCURRENT_WRITE] ..."), None]
    )

    def commit() -> str:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return "done"

    assert retry_conflicts(commit) == "done"


def test_a_commit_that_always_loses_ends_with_what_to_do() -> None:
    tries = 0

    def commit() -> None:
        nonlocal tries
        tries += 1
        raise ConcurrentAppendException

    with pytest.raises(ValueError, match=f"faster {MAX_CONFLICTS} times in a row; run one at a time"):
        retry_conflicts(commit)
    assert tries == MAX_CONFLICTS


def test_any_other_failure_is_raised_at_once() -> None:
    tries = 0

    def commit() -> None:
        nonlocal tries
        tries += 1
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        retry_conflicts(commit)
    assert tries == 1


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
