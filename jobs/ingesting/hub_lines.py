"""JSON lines of a hub's dataset as they are written: the hub's own reader respells ids and stops at dates."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from jobs.hub.address import SCHEME
from jobs.ingesting.checks import refuse_other_compression
from jobs.ingesting.columns import FILE
from jobs.ingesting.json_lines import JsonLines

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

BATCH_BYTES = 2**20
CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


def read_hub_lines(spark: SparkSession, files: Sequence[str]) -> JsonLines:
    """The lines of the files, URIs of a hub or paths of this machine, in the files' order.

    Raises ValueError for files of a compression that is not read.
    """
    refuse_other_compression(files, files, "jsonl")
    return JsonLines(_lines(spark, files), lambda file: _lines(spark, [file]))


def _lines(spark: SparkSession, files: Sequence[str]) -> DataFrame:
    # One partition per file, in order: where they are read by one task, that stops early, later files stay unread.
    indexes = spark.range(0, len(files), 1, numPartitions=len(files))
    lines = indexes.mapInArrow(_reader(list(files)), "value binary, file string, block bigint, line bigint")
    return lines.select(F.col("value").cast("string").alias("value"), F.col("file").alias(FILE), "block", "line")


def _reader(files: list[str]) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark's Python workers run. They use the driver's hub and token."""
    from huggingface_hub import constants, get_token

    endpoint, token = constants.ENDPOINT, get_token()

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column("id").to_pylist():
                with _opened(files[index], endpoint, token) as stream:
                    yield from _batches(stream, files[index], index)

    return read


def _batches(stream: Any, file: str, index: int) -> Iterator[pa.RecordBatch]:
    """The stream's lines in batches of about BATCH_BYTES; without their line feeds, nothing else taken away."""
    import pyarrow as pa

    def batch() -> pa.RecordBatch:
        numbers = range(first, first + len(lines))
        columns = {"value": pa.array(lines, pa.binary()), "file": [file] * len(lines), "block": [index] * len(lines)}
        return pa.RecordBatch.from_pydict(columns | {"line": pa.array(numbers, pa.int64())})

    lines: list[bytes] = []
    first = num_bytes = 0
    reader = io.BufferedReader(stream, BATCH_BYTES)
    for line in reader:
        lines.append(line.removesuffix(b"\n"))
        num_bytes += len(line)
        if num_bytes >= BATCH_BYTES:
            yield batch()
            first, num_bytes, lines = first + len(lines), 0, []
    # Closing the reader would close the stream, whose position the caller still needs.
    reader.detach()
    yield batch()


@contextmanager
def _opened(file: str, endpoint: str, token: str | None) -> Iterator[Any]:
    """The file as a stream, decompressed. Raises OSError if the file turns out not to be whole."""
    import pyarrow as pa
    from huggingface_hub import HfFileSystem

    codec = CODECS.get(f".{file.lower().rsplit('.', 1)[-1]}")
    # A block size of 0 streams the file in one request, which ends where reading ends.
    hub = HfFileSystem(endpoint=endpoint, token=token)
    with hub.open(file, "rb", block_size=0) if file.startswith(SCHEME) else Path(file).open("rb") as raw:
        if codec is None:
            yield pa.PythonFile(raw, mode="r")
            return
        try:
            # PyArrow reads any number of frames, and raises if the last one is not complete.
            yield pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)
            if raw.tell() == 0:
                raise OSError("it has no bytes, which no compressed file has")
        except OSError as error:
            raise OSError(f"{file} is not whole: {error}") from error
