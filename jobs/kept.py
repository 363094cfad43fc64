"""DataFrames that are computed once and read several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@contextmanager
def kept(documents: DataFrame, *, now: bool = False) -> Iterator[DataFrame]:
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
