"""JSON lines with zstd, written by PyArrow: Hadoop's zstd needs a native library that most Sparks lack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.export_folder import ExportFolder

# As Spark names its own, and hidden from Spark and PyArrow by its first character.
UNFINISHED = "_temporary"


def write_lines(rows: DataFrame, folder: ExportFolder) -> None:
    """Write each partition of rows as one file of JSON lines, in order; Spark makes the JSON, PyArrow the file.

    A file gets its name when it is whole, whatever becomes of the job.
    """
    from pyspark.sql import functions as F

    filesystem, path = folder.filesystem, folder.data_path
    # Made here and not by the tasks: on a machine that does not share the folder, they fail.
    filesystem.create_dir(f"{path}/{UNFINISHED}", recursive=True)

    def write(batches: Iterable[Any]) -> Iterable[Any]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        lines = (line for batch in batches for line in batch.column(0))
        first = next(lines, None)
        if first is None:
            return
        name = f"part-{context.partitionId():05d}.jsonl.zst"
        # Two attempts of one task may run at the same time.
        unfinished = f"{path}/{UNFINISHED}/{name}.{context.taskAttemptId()}"
        with filesystem.open_output_stream(unfinished, compression="zstd") as file:
            file.write(first.as_buffer())
            file.write(b"\n")
            for line in lines:
                file.write(line.as_buffer())
                file.write(b"\n")
        filesystem.move(unfinished, f"{path}/{name}")
        yield from ()

    rows.select(F.to_json(F.struct("*"))).mapInArrow(write, "nothing string").collect()
    filesystem.delete_dir(f"{path}/{UNFINISHED}")
