"""Real processes over one corpus: the score stage as its own process, to be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from schemas import scores
from tests.faults.fault_cases import Stage
from tests.jobs.scoring.scoring_cases import add_documents


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("faults")


@pytest.fixture
def stage(namespace: str, tiny_model_folder: str, heads_file: str, tmp_path: Path) -> Iterator[Stage]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    running = Stage(namespace, tiny_model_folder, heads_file, tmp_path / "log.txt")
    yield running
    running.end_all()


@pytest.fixture
def check_scores(spark: SparkSession, stage: Stage, tmp_path: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Asserts that each document has exactly one score, equal to an undisturbed run's; returns the rows by id."""

    def check(texts: dict[str, Any]) -> dict[str, Any]:
        rows = Namespace.parse(stage.namespace).read(spark, scores.TABLE).collect()
        found = {row["doc_id"]: row for row in rows}
        assert len(rows) == len(found), "a document has two scores"
        assert found.keys() == texts.keys()
        undisturbed = Stage(str(tmp_path / "undisturbed"), stage.model, stage.heads_file, tmp_path / "undisturbed.txt")
        good = {doc_id: text for doc_id, text in texts.items() if found[doc_id]["status"] == "scored"}
        add_documents(spark, undisturbed.namespace, good)
        undisturbed.run()
        for row in Namespace.parse(undisturbed.namespace).read(spark, scores.TABLE).collect():
            assert found[row["doc_id"]]["influence_score"] == pytest.approx(row["influence_score"], abs=1e-5)
            assert found[row["doc_id"]]["base_nll_sum"] == pytest.approx(row["base_nll_sum"], rel=1e-5)
        return found

    return check
