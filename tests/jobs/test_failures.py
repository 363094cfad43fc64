"""Which failures are tried again, and how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs import failures
from jobs.failures import MAX_CONFLICTS, is_conflict, is_worker_death, retry_conflicts


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures.time, "sleep", lambda _seconds: None)


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
    ("text", "death"),
    [
        ("Job aborted due to stage failure: ... Python worker exited unexpectedly (crashed)", True),
        ("ExecutorLostFailure (executor 1 exited caused by one of the running tasks)", True),
        ("ValueError: model 'x' cannot be loaded", False),
        ("java.io.IOException: No space left on device", False),
    ],
)
def test_a_worker_that_is_gone_is_told_from_one_that_raised(text: str, death: bool) -> None:
    assert is_worker_death(RuntimeError(text)) == death
    assert not is_conflict(RuntimeError(text))
