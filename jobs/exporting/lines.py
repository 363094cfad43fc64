"""JSON lines with zstd, written by PyArrow: Hadoop's zstd needs a native library that Spark rarely has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.exporting.folder import ExportFolder

# Spark's own name for such a folder; its first character hides it from Spark and PyArrow.
UNFINISHED = "_temporary"


def require_zstd_lines(spark: SparkSession) -> None:
    """Raise ValueError where this Spark could not read back what write_lines writes."""
    if [int(number) for number in spark.version.split(".")[:2]] < [4, 1]:
        raise ValueError(
            f"Spark {spark.version} reads no JSON lines with zstd, to compare the shards with the mix; Spark 4.1 or "
            "newer does: use that, or --format parquet"
        )


def write_lines(rows: DataFrame, folder: ExportFolder) -> None:
    """Write each partition of rows as one file of JSON lines, in order; Spark makes the JSON, PyArrow the file.

    A file gets its final name only when it is complete, even if the job fails. That name belongs to this run alone: a
    task that outlives its job cannot add a file that a later export would list. Raises ValueError where the folder
    cannot be written.
    """
    from pyspark.sql import functions as F

    filesystem, path, this_run = folder.filesystem, folder.data_path, uuid.uuid4()
    unfinished = f"{path}/{UNFINISHED}/{this_run}"
    with folder.errors("written"):
        # Made here and not by the tasks: they are to fail on a machine that does not share the folder.
        filesystem.create_dir(unfinished, recursive=True)

    def write(batches: Iterable[Any]) -> Iterable[Any]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        lines = (line for batch in batches for line in batch.column(0))
        first = next(lines, None)
        if first is None:
            return
        name = f"part-{context.partitionId():05d}-{this_run}.jsonl.zst"
        # Two attempts at one task may run at the same time.
        attempt = f"{unfinished}/{name}.{context.taskAttemptId()}"
        with filesystem.open_output_stream(attempt, compression="zstd") as file:
            file.write(first.as_buffer())
            file.write(b"\n")
            for line in lines:
                file.write(line.as_buffer())
                file.write(b"\n")
        filesystem.move(attempt, f"{path}/{name}")
        yield from ()

    rows.select(F.to_json(F.struct("*"))).mapInArrow(write, "nothing string").collect()
    with folder.errors("written"):
        filesystem.delete_dir(f"{path}/{UNFINISHED}")
