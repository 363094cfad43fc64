"""Which failures are tried again, and how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.spark import conflicts
from jobs.spark.conflicts import MAX_CONFLICTS, retry_conflicts


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts.time, "sleep", lambda _seconds: None)


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
