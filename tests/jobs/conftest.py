"""A saved tiny model, its heads in a file, and the score stage with both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.score import ScoreSettings, run
from tests.jobs.scoring_cases import HEADS, WINDOW
from tests.udfs.conftest import byte_level_tokenizer
from tests.udfs.models import tiny_model

Score = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved Llama of three layers and its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tiny_model("llama").save_pretrained(folder)
    byte_level_tokenizer(bos=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def heads_file(tmp_path: Path) -> str:
    path = tmp_path / "heads.txt"
    path.write_text("".join(f"{layer},{head}\n" for layer, head in HEADS))
    return str(path)


@pytest.fixture
def score(spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str) -> Score:
    """Runs the stage with the tiny model and these heads, and any other settings."""

    def score_with(**settings: Any) -> dict[str, Any]:
        defaults = {"namespace": namespace, "model": tiny_model_folder, "heads_file": heads_file, "window": WINDOW}
        allowed = {"max_failed_fraction": 1.0}
        return run(ScoreSettings(**{**defaults, **allowed, **settings}), spark)

    return score_with
