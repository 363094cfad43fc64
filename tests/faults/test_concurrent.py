"""Several runs at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from schemas import head_masks, scorers, scores
from tests.faults.fault_cases import Stage
from tests.jobs.scoring.scoring_cases import add_documents, documents

Check = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [2, 4])
def test_runs_of_one_scorer_at_once_lose_nothing_and_score_nothing_twice(
    count: int, spark: SparkSession, stage: Stage, check_scores: Check
) -> None:
    texts = documents(80)
    add_documents(spark, stage.namespace, texts)
    # Half of the runs have a checkpoint of their own: they share only the scores table.
    processes = [
        stage.start("--batch-bytes", "2000", *(["--checkpoint", f"{stage.namespace}/own-{n}"] if n % 2 else []))
        for n in range(count)
    ]
    statuses = [process.wait(800) for process in processes]
    said = stage.said()
    assert 0 in statuses, said[-3000:]
    # A run that stopped says why, in words.
    assert statuses.count(2) <= said.count("another run of this scorer"), said[-3000:]
    assert set(statuses) <= {0, 2}, said[-3000:]
    stage.run()
    check_scores(texts)
    place = Namespace.parse(stage.namespace)
    assert [place.read(spark, table).count() for table in (scorers.TABLE, head_masks.TABLE)] == [1, 1]


@pytest.mark.timeout(600)
def test_two_scorers_of_one_source_at_once_both_finish(spark: SparkSession, stage: Stage) -> None:
    texts = documents(40)
    add_documents(spark, stage.namespace, texts)
    processes = [stage.start("--batch-bytes", "2000", "--mask-mode", mode) for mode in ("uniform", "zero")]
    assert [process.wait(500) for process in processes] == [0, 0], stage.said()[-3000:]
    rows = Namespace.parse(stage.namespace).read(spark, scores.TABLE).groupBy("scorer_id").count().collect()
    assert [row["count"] for row in rows] == [40, 40]
