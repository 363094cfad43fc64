"""DataFrames that are computed once and read several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@contextmanager
def persisted(documents: DataFrame, *, now: bool = False) -> Iterator[DataFrame]:
    """The documents, on the executors' disks while the block runs: computed once, however often they are read.

    now: compute them before the block is entered, not when they are first read.
    """
    from pyspark import StorageLevel
    from pyspark.errors import PySparkException

    try:
        documents.persist(StorageLevel.DISK_ONLY)
    except PySparkException:
        # Not allowed on serverless platforms: there they are computed each time.
        yield documents
        return
    try:
        if now:
            documents.count()
        yield documents
    finally:
        documents.unpersist()


def computed_once(documents: DataFrame) -> DataFrame:
    """The documents as they are when they are first read, on the executors' disks until nothing refers to them.

    For a data source that is written in Python and reads over a network. persisted() does not help there: Spark 4.1
    takes each use of such a source for another source, and reads it again. If an executor is lost, so is its part of
    the documents, and the job fails.
    """
    from pyspark import StorageLevel
    from pyspark.errors import PySparkException

    try:
        return documents.localCheckpoint(eager=False, storageLevel=StorageLevel.DISK_ONLY)
    except PySparkException:
        # Not allowed on serverless platforms: there they are read each time.
        return documents
