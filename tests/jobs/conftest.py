"""The score stage with a saved tiny model and its heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.score import ScoreSettings, run
from tests.jobs.scoring.scoring_cases import WINDOW

Score = Callable[..., dict[str, Any]]


@pytest.fixture
def score(spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str) -> Score:
    """Runs the stage with the tiny model and these heads, and any other settings."""

    def score_with(**settings: Any) -> dict[str, Any]:
        defaults = {"namespace": namespace, "model": tiny_model_folder, "heads_file": heads_file, "window": WINDOW}
        allowed = {"max_failed_fraction": 1.0, "allow_implausible_model": True}
        return run(ScoreSettings(**{**defaults, **allowed, **settings}), spark)

    return score_with
