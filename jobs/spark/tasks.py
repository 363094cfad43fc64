"""How many tasks run the model at a time, with how many threads each, and how many shuffle a table's rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from udfs.machine import memory_bytes, num_cores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from udfs.known_checkpoints import Checkpoint

# Spark's default.
SHUFFLE_PARTITIONS = 200
# Memory of a worker on a CPU besides the weights, in bytes, for Python, its libraries and a pass of WORKER_TOKENS.
# Scoring full windows with SmolLM2 takes half of it (tests/benchmarks/RESULTS.md).
WORKER_BYTES, WORKER_TOKENS = 2 * 2**30, 4096
# Smallest share of the cores that must have a thread: tasks of one thread each gain a sixth, and idle cores lose it.
BUSY_CORES = 5 / 6
# About how many rows a task should get from a shuffle.
ROWS_PER_TASK = 250_000
# The size of that many of the narrowest rows, a short id and a few equal numbers, in a shuffle.
BYTES_PER_TASK = "3m"
JOINED_BYTES = "spark.sql.adaptive.advisoryPartitionSizeInBytes"
ADAPTIVE = "spark.sql.adaptive.enabled"
# Rows that one or two tasks sort and join in a second.
FEW_ROWS = 1_000_000
# For few rows: each query one job of few tasks. What Spark does for large tables (broadcasts, queries that narrow down
# others, plans that change on the way) costs jobs of its own.
FEW_TASKS = 4
# More than enough for any table; Spark counts them in 32 bits.
MOST_TASKS = 100_000
FOR_FEW_ROWS = {
    ADAPTIVE: "false",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
}
# The second, where it is set, overrides the first.
PARTITIONS = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.coalescePartitions.initialPartitionNum")
DEFAULTS = (str(SHUFFLE_PARTITIONS), None)


def num_tasks(spark: SparkSession, asked: int | None, checkpoint: Checkpoint, pass_tokens: int) -> int:
    """How many tasks the work is cut into: as many as asked for, or else by the machines.

    On a single machine with a GPU, which holds one model, one task. On a single machine without, one task per core: on
    two cores, two tasks of one thread took a sixth less time than one of two (tests/benchmarks/RESULTS.md). Each task
    has a model of its own, and together they may take half of the memory; where that is too little, there are fewer
    tasks with more threads. Where the model's size or the machine's memory is not known, one task. On a cluster, as
    many as Spark's shuffle partitions: small tasks cost nothing there, since a worker keeps its model for the next.

    pass_tokens: tokens of the longest pass of the model, with which its memory grows.
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
    # Four bytes for half precision too: where a loss overflows it, the model is read in float32.
    worker = 4 * weights + WORKER_BYTES * max(WORKER_TOKENS, pass_tokens) // WORKER_TOKENS
    return most_tasks(min(slots, num_cores()), num_cores(), memory_bytes() // 2 // worker)


def most_tasks(slots: int, cores: int, fitting: int) -> int:
    """The largest number of tasks that have a slot and memory and leave few cores without a thread."""
    numbers = range(1, max(1, min(slots, fitting)) + 1)
    return max(tasks for tasks in numbers if tasks * (cores // tasks) >= BUSY_CORES * cores)


def threads_per_task(spark: SparkSession, tasks: int) -> int | None:
    """CPU threads per task on a single machine; None on a cluster, where spark.task.cpus says it."""
    slots = _local_slots(spark)
    return None if slots is None else max(1, num_cores() // min(tasks, slots))


def num_devices(spark: SparkSession, tasks: int) -> int:
    """How many models run at a time: on a single machine one per running task; on a cluster one per GPU or task slot.

    A number that a cluster's settings do not say, because it grows and shrinks, counts as one.
    """
    slots = _local_slots(spark)
    if slots is not None:
        return min(tasks, slots)

    def number(key: str) -> int:
        return max(1, int(float(spark.conf.get(key, "1") or 1)))

    gpus = spark.conf.get("spark.executor.resource.gpu.amount", "") or ""
    slots = int(gpus) if gpus else number("spark.executor.cores") // number("spark.task.cpus")
    return min(tasks, max(1, number("spark.executor.instances") * slots))


@contextmanager
def enough_tasks(spark: SparkSession, num_rows: int, *, is_small: bool = False) -> Iterator[None]:
    """Shuffles inside the block have enough tasks for num_rows rows, where the session has fewer: a laptop's has two.

    Spark then merges only small tasks into one: rows are narrow, and in the usual 64 MiB a task would get millions.
    is_small: no table that is read in the block has more than FEW_ROWS rows; the queries get few tasks and plain plans.
    """
    first = PARTITIONS[0]
    partitions = {key: spark.conf.get(key, default) or "" for key, default in zip(PARTITIONS, DEFAULTS, strict=True)}
    settings: dict[str, str] = {}
    if is_small:
        settings = dict(FOR_FEW_ROWS)
        if not partitions[first].isdigit() or int(partitions[first]) > FEW_TASKS:
            settings[first] = str(FEW_TASKS)
    elif (wanted := min(MOST_TASKS, num_rows // ROWS_PER_TASK)) > 1:
        settings = {JOINED_BYTES: BYTES_PER_TASK, ADAPTIVE: "true"}
        # It may be unset, or what some platforms write: auto.
        settings |= {
            key: str(wanted) for key, number in partitions.items() if number.isdigit() and int(number) < wanted
        }
    with settings_in_block(spark, settings):
        yield


def adaptive_plans(spark: SparkSession) -> AbstractContextManager[None]:
    """Spark changes plans in the block as they run, by what it sees: it merges small tasks, and writes few files."""
    return settings_in_block(spark, {ADAPTIVE: "true"})


@contextmanager
def settings_in_block(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """The session has these settings while the block runs, as far as its platform lets them be set."""
    from pyspark.errors import PySparkException

    before = {}
    try:
        for key, value in settings.items():
            with suppress(PySparkException):
                own = spark.conf.get(key, None)
                spark.conf.set(key, value)
                before[key] = own
        yield
    finally:
        for key, own in before.items():
            if own is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, own)


def _local_slots(spark: SparkSession) -> int | None:
    """Tasks that run at a time on a single machine (local, local[4], local[*], local[4, 2]); None on a cluster."""
    master = spark.conf.get("spark.master", "") or ""
    local = re.fullmatch(r"local(?:\[\s*(\d+|\*)\s*(?:,.*)?\])?", master)
    if local is None:
        return None
    cpus = num_cores() if local[1] == "*" else int(local[1] or 1)
    return max(1, cpus // int(spark.conf.get("spark.task.cpus", "1") or 1))
