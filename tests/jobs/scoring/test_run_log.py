"""What a run knows of itself: its speed, the time that is left, and when it must stop."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jobs.scoring.failures import stop_if_too_many_failed
from jobs.scoring.run_log import RunLog
from jobs.spark.namespace import Namespace

# Of a batch of four documents.
COUNTS: dict[str, Any] = {
    "scored": 4,
    "empty": 0,
    "too_short": 0,
    "failed": 0,
    "num_tokens": 400,
    "num_bytes": 1000,
    "num_float32_windows": 0,
    "num_new": 4,
    "num_new_failed": 0,
}


def new_log(**settings: Any) -> RunLog:
    no_spark: Any = None
    return RunLog(no_spark, Namespace.parse("./nowhere"), scorer_id="s1", source="a source", **settings)


def test_speed_and_time_left_come_from_the_time_spent_on_scoring_and_device_hours_from_the_clock() -> None:
    log = new_log(num_to_do=8, num_devices=2, started=time.monotonic() - 3600)
    with log.scoring():
        time.sleep(0.1)
        log.add(COUNTS)
    assert 0.1 <= log.scoring_seconds < 60
    assert log.tokens_per_second == pytest.approx(400 / log.scoring_seconds)
    assert log.bytes_per_second == pytest.approx(1000 / log.scoring_seconds)
    # Four of eight are left.
    assert log.seconds_left == pytest.approx(log.scoring_seconds)
    assert log.seconds >= 3600


def test_before_anything_is_scored_no_speed_is_known() -> None:
    log = new_log(num_to_do=8)
    assert (log.tokens_per_second, log.bytes_per_second, log.seconds_left) == (None, None, None)


@pytest.mark.parametrize(("num_new", "num_new_failed", "stops"), [(4, 1, True), (4, 0, False), (0, 0, False)])
def test_only_failures_of_documents_that_are_tried_for_the_first_time_stop_a_run(
    num_new: int, num_new_failed: int, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.scoring.failures.failure_classes", lambda log: "1 TextTooLong")
    log = new_log()
    log.add(COUNTS | {"failed": 3, "num_new": num_new, "num_new_failed": num_new_failed})
    if not stops:
        stop_if_too_many_failed(log, 0.2, at_end=True)
        return
    with pytest.raises(ValueError, match="1 of 4 documents failed at their first attempt"):
        stop_if_too_many_failed(log, 0.2, at_end=True)
