"""How many tasks there are, on machines and clusters that no Spark of our own can be set up like, and for many rows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.spark import tasks as workers
from jobs.spark.tasks import (
    FOR_FEW_ROWS,
    JOINED_BYTES,
    PARTITIONS,
    enough_tasks,
    most_tasks,
    num_devices,
    num_tasks,
    threads_per_task,
)
from udfs.checkpoint import resolve_checkpoint

GIB = 2**30


class Session:
    """As much of a session as its settings."""

    def __init__(self, master: str, **settings: str) -> None:
        self.conf: Any = {"spark.master": master} | {key.replace("_", "."): value for key, value in settings.items()}


@pytest.mark.parametrize(("partitions", "expected"), [("48", 48), ("auto", 200)])
def test_a_cluster_has_as_many_tasks_as_shuffle_partitions_and_200_where_it_chooses_them_itself(
    partitions: str, expected: int, tiny_model_folder: str
) -> None:
    cluster: Any = Session("spark://host:7077", spark_sql_shuffle_partitions=partitions)
    checkpoint = resolve_checkpoint(tiny_model_folder)
    assert num_tasks(cluster, None, checkpoint, 64) == expected
    assert num_tasks(cluster, 3, checkpoint, 64) == 3
    assert threads_per_task(cluster, 3) is None


@pytest.mark.parametrize(
    ("master", "cores", "memory", "pass_tokens", "expected"),
    [
        ("local[*]", 8, 64 * GIB, 64, (8, 1)),
        ("local[*]", 8, 16 * GIB, 64, (2, 4)),
        ("local[*]", 8, 64 * GIB, 16_384, (2, 4)),
        ("local[*]", 8, 2 * GIB, 64, (1, 8)),
        ("local[2]", 8, 64 * GIB, 64, (2, 4)),
        ("local[2, 3]", 8, 64 * GIB, 64, (2, 4)),
        ("local[16]", 8, 64 * GIB, 64, (8, 1)),
        ("local", 8, 64 * GIB, 64, (1, 8)),
    ],
)
def test_a_single_machine_has_a_task_a_core_and_fewer_of_more_threads_where_slots_or_memory_are_few(
    master: str,
    cores: int,
    memory: int,
    pass_tokens: int,
    expected: tuple[int, int],
    tiny_model_folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: cores)
    monkeypatch.setattr(workers, "memory_bytes", lambda: memory)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    local: Any = Session(master)
    tasks = num_tasks(local, None, resolve_checkpoint(tiny_model_folder), pass_tokens)
    assert (tasks, threads_per_task(local, tasks)) == expected


@pytest.mark.parametrize("reason", ["torch.cuda.is_available", "pyspark.sql.utils.is_remote"])
def test_a_machine_with_a_gpu_and_one_that_is_not_this_one_have_one_task(
    reason: str, tiny_model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 8)
    monkeypatch.setattr(workers, "memory_bytes", lambda: 64 * GIB)
    monkeypatch.setattr(reason, lambda: True)
    local: Any = Session("local[*]")
    assert num_tasks(local, None, resolve_checkpoint(tiny_model_folder), 64) == 1


@pytest.mark.parametrize(
    ("slots", "cores", "fitting", "expected"),
    # Three tasks of two threads would leave two of eight cores alone, and five of one thread three.
    [
        (8, 8, 3, 2),
        (8, 8, 5, 4),
        (6, 6, 4, 3),
        (2, 2, 0, 1),
        (7, 7, 7, 7),
        (7, 7, 6, 6),
        (11, 11, 7, 5),
        (4, 16, 16, 4),
    ],
)
def test_few_cores_are_left_without_a_thread(slots: int, cores: int, fitting: int, expected: int) -> None:
    assert most_tasks(slots, cores, fitting) == expected


def test_tasks_of_several_cpus_are_fewer(tiny_model_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 8)
    monkeypatch.setattr(workers, "memory_bytes", lambda: 64 * GIB)
    local: Any = Session("local[*]", spark_task_cpus="4")
    assert num_tasks(local, None, resolve_checkpoint(tiny_model_folder), 64) == 2
    assert threads_per_task(local, 2) == 4


def test_more_tasks_than_slots_share_the_cores_of_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 8)
    local: Any = Session("local[2]")
    assert threads_per_task(local, 48) == 4
    assert num_devices(local, 48) == 2


def test_large_tables_get_more_tasks_inside_the_block_and_the_session_its_own_settings_back(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings_now() -> list[str | None]:
        return [spark.conf.get(key, None) for key in (JOINED_BYTES, *PARTITIONS)]

    monkeypatch.setattr("jobs.spark.tasks.ROWS_PER_TASK", 10)
    before = settings_now()
    with enough_tasks(spark, 70):
        assert settings_now() == ["3m", "7", None]
    assert settings_now() == before
    with suppress(KeyError), enough_tasks(spark, 70):
        raise KeyError
    assert settings_now() == before
    with enough_tasks(spark, 9):
        assert settings_now() == before
    # As many partitions as are needed, or more: they must not be joined all the same.
    with enough_tasks(spark, 20):
        assert settings_now() == ["3m", *before[1:]]
    spark.conf.set(PARTITIONS[1], "3")
    try:
        with enough_tasks(spark, 70):
            assert settings_now() == ["3m", "7", "7"]
        assert settings_now() == [*before[:2], "3"]
    finally:
        spark.conf.unset(PARTITIONS[1])


def test_few_rows_get_few_tasks_and_plain_plans_and_the_session_its_own_settings_back(spark: SparkSession) -> None:
    keys = (*FOR_FEW_ROWS, PARTITIONS[0])
    before = {key: spark.conf.get(key, None) for key in keys}
    spark.conf.set(PARTITIONS[0], "200")
    try:
        with enough_tasks(spark, 70, is_small=True):
            assert {key: spark.conf.get(key) for key in keys} == FOR_FEW_ROWS | {PARTITIONS[0]: "4"}
        assert {key: spark.conf.get(key, None) for key in keys} == before | {PARTITIONS[0]: "200"}
    finally:
        spark.conf.set(PARTITIONS[0], before[PARTITIONS[0]] or "")


def test_a_session_that_does_not_name_its_partitions_gets_more_of_them_too(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.spark.tasks.ROWS_PER_TASK", 1)
    before = spark.conf.get(PARTITIONS[0])
    spark.conf.unset(PARTITIONS[0])
    try:
        with enough_tasks(spark, 4000):
            assert spark.conf.get(PARTITIONS[0]) == "4000"
        with enough_tasks(spark, 2**57):
            assert spark.conf.get(PARTITIONS[0]) == "100000"
    finally:
        spark.conf.set(PARTITIONS[0], before)
