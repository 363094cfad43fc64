"""DataFrames that are computed once and read several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@contextmanager
def persisted(documents: DataFrame, *, now: bool = False) -> Iterator[DataFrame]:
    """The documents on the executors' disks for a while: what reads them several times computes them once.

    now: before the block is entered, and not when they are first read.
    """
    from pyspark import StorageLevel
    from pyspark.errors import PySparkException

    try:
        documents.persist(StorageLevel.DISK_ONLY)
    except PySparkException:
        # A platform without executors of one's own (serverless): they are computed again each time.
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

    For a data source that is written in Python and reads over a network: persisted() does not help there, since
    Spark 4.1 takes each look at such a source for another one, and reads it again. An executor that is lost takes its
    part with it, and the job fails.
    """
    from pyspark import StorageLevel
    from pyspark.errors import PySparkException

    try:
        return documents.localCheckpoint(eager=False, storageLevel=StorageLevel.DISK_ONLY)
    except PySparkException:
        # A platform without executors of one's own (serverless): they are read again each time.
        return documents
