"""The source as a stream: what was added since the last run, each part once, by Delta's log."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.corpus.documents import documents_of
from jobs.scoring.source_errors import explained

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.scoring.source import SourceTable

# Size of one read of the source per task, in bytes of files; a larger file is still read at once.
MAX_BYTES_PER_READ = 2**30
# A wider schema ends a stream once; when it starts again, it reads with the new schema.
MAX_RESTARTS = 3


@dataclass(frozen=True)
class Stream:
    """A source, the folder that keeps what was read of it, the version it begins at, and the tasks to read for."""

    table: SourceTable
    checkpoint: str
    first_version: int | None
    tasks: int = 1


# Called with the batch's own session, its documents, the stream's id and the batch's number in it.
ScoreBatch = Callable[["SparkSession", "DataFrame", str, int], None]


def score_new_documents(spark: SparkSession, stream: Stream, score: ScoreBatch) -> None:
    """Call score on what the stream has not read yet, batch by batch, and remember each batch that it returns from.

    Raises ValueError, with what to do, where the source has changed in a way that a stream cannot follow.
    """
    for restart in range(MAX_RESTARTS + 1):
        try:
            _run(spark, stream, score)
            return
        except Exception as error:
            if not _is_wider_schema(error) or restart == MAX_RESTARTS:
                raise explained(error, stream.table.identifier, stream.checkpoint) from error
            print("the columns of the source have changed; its stream starts again with the new ones", file=sys.stderr)


def _run(spark: SparkSession, stream: Stream, score: ScoreBatch) -> None:
    max_bytes = MAX_BYTES_PER_READ * stream.tasks
    reader = spark.readStream.format("delta").option("maxBytesPerTrigger", str(max_bytes))
    if stream.first_version is not None:
        reader = reader.option("startingVersion", str(stream.first_version))
    table = reader.load(stream.table.path) if stream.table.path else reader.table(stream.table.identifier)
    documents = documents_of(table, stream.table.columns, may_be_old=True)
    failures: list[BaseException] = []
    stream_ids: list[str] = []
    is_named = threading.Event()

    def on_batch(batch: DataFrame, number: int) -> None:
        is_named.wait()
        try:
            score(batch.sparkSession, batch, stream_ids[0], number)
        except BaseException as error:
            # Spark would pass on its text alone, between two stacks.
            failures.append(error)
            raise

    writer = documents.writeStream.foreachBatch(on_batch).trigger(availableNow=True)
    query = writer.option("checkpointLocation", stream.checkpoint).start()
    stream_ids.append(query.id)
    is_named.set()
    try:
        query.awaitTermination()
    except Exception as error:
        raise (failures[0] if failures else error) from None
    finally:
        with contextlib.suppress(Exception):
            query.stop()


def _is_wider_schema(error: BaseException) -> bool:
    return bool(re.search(r"DELTA_SCHEMA_CHANGED|DELTA_STREAMING_SCHEMA_MISMATCH_ON_RESTART", str(error)))
