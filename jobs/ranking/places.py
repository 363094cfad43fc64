"""Places of documents within their domains, by whichever way suits the size of the domains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from jobs.ranking.bins import cut_into_bins, with_bins
from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Method = Literal["auto", "window", "bins"]
# Documents of a domain that one task sorts without trouble.
SMALL_DOMAIN = 1_000_000
# Rows that a task of a shuffle is to have, about.
ROWS_PER_TASK = 250_000
# What that many of the narrowest rows, a short id and a few equal numbers, have when they are shuffled.
BYTES_PER_TASK = "3m"
JOINED_BYTES = "spark.sql.adaptive.advisoryPartitionSizeInBytes"
# The second one, where it is set, goes before the first.
PARTITIONS = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.coalescePartitions.initialPartitionNum")


def choose_method(documents: DataFrame) -> Literal["window", "bins"]:
    """window, unless a domain is so large that sorting it in one task would hold everything up."""
    largest = documents.groupBy("domain").count().agg({"count": "max"}).collect()[0][0] or 0
    return "bins" if largest > SMALL_DOMAIN else "window"


def ranked(
    spark: SparkSession, documents: DataFrame, method: Literal["window", "bins"], rows_per_bin: int | None = None
) -> DataFrame:
    """The documents with domain_rank, domain_size, percentile and cumulative_tokens, by order_value from the top.

    Both methods give the same rows. documents is as jobs.ranking.bins.cut_into_bins takes it.
    """
    if method == "window":
        return run_statement(spark, "ranking/ranked_by_window", documents=documents)
    bins = cut_into_bins(spark, documents, rows_per_bin)
    binned = with_bins(spark, documents, bins.cuts)
    return run_statement(spark, "ranking/ranked_in_bins", binned=binned, bins=bins.as_rows(spark))


@contextmanager
def enough_tasks(spark: SparkSession, num_rows: int) -> Iterator[None]:
    """Shuffle num_rows rows into more tasks inside the block, where the session has few: a laptop's has two.

    Only small ones are then joined to one another: rows are narrow, and by the usual 64 MiB a task would get millions.
    """
    from pyspark.errors import PySparkException

    wanted = num_rows // ROWS_PER_TASK
    settings = {JOINED_BYTES: BYTES_PER_TASK} if wanted > 1 else {}
    first, second = PARTITIONS
    for key, number in ((first, spark.conf.get(first)), (second, spark.conf.get(second, None))):
        # Not set, or as a platform may write it, auto.
        if (number or "").isdigit() and int(number or 0) < wanted:
            settings[key] = str(wanted)
    before = {}
    try:
        for key, value in settings.items():
            # A platform may keep them to itself.
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
