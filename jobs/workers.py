"""How many tasks run the model at a time, and with how many threads each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from udfs.cores import num_cores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Spark's own number of them.
SHUFFLE_PARTITIONS = 200


def num_tasks(spark: SparkSession, asked: int | None) -> int:
    """Tasks to cut the work into: what was asked, else one on a single machine, else Spark's shuffle partitions.

    On one machine each task costs a model's memory. Where that is there, two tasks of one thread took a sixth less time
    than one of two (tests/benchmarks/RESULTS.md). On a cluster many small tasks cost nothing: a worker keeps its model
    from one to the next.
    """
    if asked is not None:
        return asked
    if _is_local(spark):
        return 1
    partitions = spark.conf.get("spark.sql.shuffle.partitions") or ""
    # A platform may write auto there.
    return int(partitions) if partitions.isdigit() else SHUFFLE_PARTITIONS


def threads_per_task(spark: SparkSession, tasks: int) -> int | None:
    """CPU threads for each task on a single machine; None on a cluster, where spark.task.cpus says it."""
    return max(1, num_cores() // tasks) if _is_local(spark) else None


def num_devices(spark: SparkSession, tasks: int) -> int:
    """Models at work at a time: tasks on a single machine; on a cluster its executors' GPUs, or their task slots.

    What the settings of a cluster do not say, because it grows and shrinks, counts as one.
    """
    if _is_local(spark):
        return tasks

    def number(key: str) -> int:
        return max(1, int(float(spark.conf.get(key, "1") or 1)))

    gpus = spark.conf.get("spark.executor.resource.gpu.amount", "") or ""
    slots = int(gpus) if gpus else number("spark.executor.cores") // number("spark.task.cpus")
    return min(tasks, max(1, number("spark.executor.instances") * slots))


def _is_local(spark: SparkSession) -> bool:
    master = spark.conf.get("spark.master", "") or ""
    return master == "local" or master.startswith("local[")
