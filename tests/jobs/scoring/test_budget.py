"""How much text goes into a commit."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.scoring.budget import commit_bytes
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.run_log import RunLog
from jobs.spark.namespace import Namespace

TOTAL = 10**9


def budget(log: dict[str, Any], **plan: Any) -> int:
    """Of a run over 100,000 documents with two models."""
    no_spark: Any = None
    values: dict[str, Any] = {"num_to_do": 100_000, "num_devices": 2, **log}
    run = RunLog(no_spark, Namespace.parse("./nowhere"), scorer_id="s1", source="a source", **values)
    return commit_bytes(ScoringPlan("s1", paired_scores=None, tasks=2, max_text_bytes=10**6, **plan), run, TOTAL)


def test_a_run_whose_speed_is_not_known_begins_with_a_small_batch_per_model() -> None:
    assert budget({}) == 2 * 32_768
    # Of 100 documents of ten megabytes, each model is given one.
    assert budget({"num_to_do": 100}) == 2 * 10**7


@pytest.mark.parametrize(
    ("bytes_per_second", "expected"),
    [(10, 2 * 32_768), (60_000, 36_000_000), (10**6, 50_000_000)],
)
def test_later_batches_take_ten_minutes_within_a_twentieth_of_the_run(bytes_per_second: int, expected: int) -> None:
    assert budget({"num_bytes": bytes_per_second, "scoring_seconds": 1.0}) == expected


def test_a_size_that_was_asked_for_overrides_the_speed() -> None:
    assert budget({"num_bytes": 60_000, "scoring_seconds": 1.0}, batch_bytes=7) == 7
