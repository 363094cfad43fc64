"""How many tasks run the model at a time, and with how many threads each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from udfs.machine import memory_bytes, num_cores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from udfs.checkpoint import Checkpoint

# Spark's own number of them.
SHUFFLE_PARTITIONS = 200
# Of a worker on a CPU, besides the weights: Python, its libraries and what a pass of the model holds. The scorer of
# SmolLM2's full windows takes half of it (tests/benchmarks/RESULTS.md).
WORKER_BYTES = 2 * 2**30


def num_tasks(spark: SparkSession, asked: int | None, checkpoint: Checkpoint) -> int:
    """Tasks to cut the work into: what was asked, else as many as run at a time, else Spark's shuffle partitions.

    On a single machine one with a GPU, which holds one model, and on CPUs one a core: two tasks of one thread took a
    sixth less time than one of two (tests/benchmarks/RESULTS.md). Each has a copy of the model, and all of them half of
    the memory; where that is too little for so many, fewer tasks have more threads. On a cluster many small tasks cost
    nothing: a worker keeps its model from one to the next.
    """
    import torch

    from udfs.checkpoint import num_parameters

    if asked is not None:
        return asked
    slots = _local_slots(spark)
    if slots is None:
        partitions = spark.conf.get("spark.sql.shuffle.partitions") or ""
        # A platform may write auto there.
        return int(partitions) if partitions.isdigit() else SHUFFLE_PARTITIONS
    if torch.cuda.is_available():
        return 1
    # Of 16 bits too: they are read in float32 where a loss overflows them.
    worker = WORKER_BYTES + 4 * num_parameters(checkpoint)
    return most_tasks(min(slots, num_cores()), num_cores(), memory_bytes() // 2 // worker)


def most_tasks(slots: int, cores: int, fitting: int) -> int:
    """The most tasks that have a slot and memory, of the numbers that leave the fewest cores without a thread."""
    return max(range(1, max(1, min(slots, fitting)) + 1), key=lambda tasks: (tasks * (cores // tasks), tasks))


def threads_per_task(spark: SparkSession, tasks: int) -> int | None:
    """CPU threads for each task on a single machine; None on a cluster, where spark.task.cpus says it."""
    slots = _local_slots(spark)
    return None if slots is None else max(1, num_cores() // min(tasks, slots))


def num_devices(spark: SparkSession, tasks: int) -> int:
    """Models at work at a time: on a single machine as many as run at once; on a cluster its GPUs, or its task slots.

    What the settings of a cluster do not say, because it grows and shrinks, counts as one.
    """
    slots = _local_slots(spark)
    if slots is not None:
        return min(tasks, slots)

    def number(key: str) -> int:
        return max(1, int(float(spark.conf.get(key, "1") or 1)))

    gpus = spark.conf.get("spark.executor.resource.gpu.amount", "") or ""
    slots = int(gpus) if gpus else number("spark.executor.cores") // number("spark.task.cpus")
    return min(tasks, max(1, number("spark.executor.instances") * slots))


def _local_slots(spark: SparkSession) -> int | None:
    """Tasks that run at a time on a single machine (local, local[4], local[*], local[4, 2]); None on a cluster."""
    master = spark.conf.get("spark.master", "") or ""
    found = re.fullmatch(r"local(?:\[\s*(\d+|\*)\s*(?:,.*)?\])?", master)
    if found is None:
        return None
    return num_cores() if found[1] == "*" else int(found[1] or 1)
