"""What runs say of themselves, while they run and afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from jobs.status import StatusSettings, run
from schemas import runs
from tests.jobs.scoring.scoring_cases import add_documents, documents, run_row, write_runs


def test_a_run_that_is_running_shows_what_is_left(spark: SparkSession, namespace: str, capsys: Any) -> None:
    write_runs(spark, namespace, run_row())
    run(StatusSettings(namespace=namespace), spark)
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["run", "state", "documents"]
    assert line.split()[:9] == ["r1", "running", "40", "60", "12,000", "30,000", "250", "0", "1"]
    assert "1 min 12 s" in line


def test_a_run_that_fell_silent_is_said_to_have(spark: SparkSession, namespace: str, capsys: Any) -> None:
    write_runs(spark, namespace, run_row(updated_at=datetime.now(UTC) - timedelta(hours=2)))
    run(StatusSettings(namespace=namespace), spark)
    assert "running? silent for 2 h 0 min" in capsys.readouterr().out


def test_watching_ends_although_a_run_was_killed(spark: SparkSession, namespace: str, capsys: Any) -> None:
    killed = run_row(run_id="killed", updated_at=datetime.now(UTC) - timedelta(hours=2))
    write_runs(spark, namespace, killed)
    (found,) = run(StatusSettings(namespace=namespace, watch=True, interval=0.01), spark)
    assert found["state"] == "running"
    assert "running? silent for 2 h 0 min" in capsys.readouterr().out


def test_a_finished_run_shows_the_classes_of_its_failures(
    spark: SparkSession, namespace: str, score: Callable[..., dict[str, Any]], capsys: Any
) -> None:
    add_documents(spark, namespace, documents(2) | {"long": "word " * 400})
    done = score(max_text_bytes=1500)
    capsys.readouterr()
    (found,) = run(StatusSettings(namespace=namespace, json=True), spark)
    assert found["failures"] == {"TextTooLong": 1}
    printed = json.loads(capsys.readouterr().out)
    assert (printed["run_id"], printed["state"], printed["num_documents"]) == (done["run_id"], "finished", 3)
    assert printed["num_tokens_in_all"] == printed["num_tokens"] > 0
    assert printed["tokens_per_second"] > 0
    assert printed["device_hours"] > 0


def test_watching_ends_when_no_run_is_running(spark: SparkSession, namespace: str, capsys: Any) -> None:
    write_runs(spark, namespace, run_row())
    place = Namespace.parse(namespace)

    def finish() -> None:
        row = run_row(state="finished", num_documents=100)
        place.replace(spark.createDataFrame([row], runs.TABLE.schema), runs.TABLE, "run_id", "r1")

    timer = threading.Timer(1.0, finish)
    timer.start()
    (found,) = run(StatusSettings(namespace=namespace, watch=True, interval=0.5), spark)
    timer.join()
    assert found["state"] == "finished"
    assert capsys.readouterr().out.count("r1") >= 2


def test_an_unknown_run_is_an_error(spark: SparkSession, namespace: str) -> None:
    write_runs(spark, namespace, run_row())
    with pytest.raises(ValueError, match="no run 'r9'"):
        run(StatusSettings(namespace=namespace, run_id="r9"), spark)


def test_a_namespace_without_runs_says_what_makes_them(spark: SparkSession, namespace: str) -> None:
    with pytest.raises(ValueError, match=r"no runs table.*attention-influence score"):
        run(StatusSettings(namespace=namespace), spark)
