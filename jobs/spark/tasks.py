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
# Of a worker on a CPU, besides the weights: Python, its libraries and a pass of WORKER_TOKENS. The scorer of SmolLM2's
# full windows takes half of it (tests/benchmarks/RESULTS.md).
WORKER_BYTES, WORKER_TOKENS = 2 * 2**30, 4096
# The share of the cores that must have a thread: what tasks of one thread gain is a sixth.
BUSY_CORES = 5 / 6


def num_tasks(spark: SparkSession, asked: int | None, checkpoint: Checkpoint, pass_tokens: int) -> int:
    """Tasks to cut the work into: what was asked, else as many as run at a time, else Spark's shuffle partitions.

    On a single machine that is one where there is a GPU, which holds one model, and on CPUs one a core: on two cores,
    two tasks of one thread took a sixth less time than one of two (tests/benchmarks/RESULTS.md). Each has a model of
    its own, and all of them half of the memory; where that is too little for so many, fewer tasks have more threads. A
    model whose size is not known, and a machine that is not this one, have one. On a cluster many small tasks cost
    nothing: a worker keeps its model from one to the next.

    pass_tokens: tokens of the longest pass of the model, which its memory grows with.
    """
    import torch
    from pyspark.sql.utils import is_remote

    from udfs.checkpoint import num_parameters

    if asked is not None:
        return asked
    slots = _local_slots(spark)
    if slots is None:
        partitions = spark.conf.get("spark.sql.shuffle.partitions") or ""
        # A platform may write auto there.
        return int(partitions) if partitions.isdigit() else SHUFFLE_PARTITIONS
    weights = None if torch.cuda.is_available() or is_remote() else num_parameters(checkpoint)
    if weights is None:
        return 1
    # Of 16 bits too: they are read in float32 where a loss overflows them.
    worker = 4 * weights + WORKER_BYTES * max(WORKER_TOKENS, pass_tokens) // WORKER_TOKENS
    return most_tasks(min(slots, num_cores()), num_cores(), memory_bytes() // 2 // worker)


def most_tasks(slots: int, cores: int, fitting: int) -> int:
    """The most tasks that have a slot and memory, of the numbers that leave few cores without a thread."""
    numbers = range(1, max(1, min(slots, fitting)) + 1)
    return max(tasks for tasks in numbers if tasks * (cores // tasks) >= BUSY_CORES * cores)


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
    cpus = num_cores() if found[1] == "*" else int(found[1] or 1)
    return max(1, cpus // int(spark.conf.get("spark.task.cpus", "1") or 1))
