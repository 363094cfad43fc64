"""Places of documents within their domains, by whichever way suits the size of the domains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from jobs.bins import cut_into_bins, with_bins
from jobs.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Method = Literal["auto", "window", "bins"]
# Documents of a domain that one task sorts without trouble.
SMALL_DOMAIN = 1_000_000
# Rows that a task of a shuffle is to have, about.
ROWS_PER_TASK = 250_000
# What that many rows of an id and a few numbers have, about, when they are shuffled.
BYTES_PER_TASK = "8m"


def choose_method(documents: DataFrame) -> Literal["window", "bins"]:
    """window, unless a domain is so large that sorting it in one task would hold everything up."""
    largest = documents.groupBy("domain").count().agg({"count": "max"}).collect()[0][0] or 0
    return "bins" if largest > SMALL_DOMAIN else "window"


def ranked(
    spark: SparkSession, documents: DataFrame, method: Literal["window", "bins"], rows_per_bin: int | None = None
) -> DataFrame:
    """The documents with domain_rank, domain_size, percentile and cumulative_tokens, by order_value from the top.

    Both methods give the same rows. documents is as jobs.bins.cut_into_bins takes it.
    """
    if method == "window":
        return run_statement(spark, "ranked_by_window", documents=documents)
    bins = cut_into_bins(spark, documents, rows_per_bin)
    binned = with_bins(spark, documents, bins.cuts)
    return run_statement(spark, "ranked_in_bins", binned=binned, bins=bins.as_rows(spark))


@contextmanager
def enough_tasks(spark: SparkSession, num_rows: int) -> Iterator[None]:
    """Shuffle num_rows rows into more tasks inside the block, where the session has few: a laptop's has two.

    Only small ones are then joined to one another: rows are narrow, and by the usual 64 MiB a task would get millions.
    """
    partitions, joined_bytes = "spark.sql.shuffle.partitions", "spark.sql.adaptive.advisoryPartitionSizeInBytes"
    before = spark.conf.get(partitions) or ""
    wanted = num_rows // ROWS_PER_TASK
    # A platform may write auto there.
    if not before.isdigit() or int(before) >= wanted:
        yield
        return
    joined_before = spark.conf.get(joined_bytes) or ""
    spark.conf.set(partitions, str(wanted))
    spark.conf.set(joined_bytes, BYTES_PER_TASK)
    try:
        yield
    finally:
        spark.conf.set(partitions, before)
        spark.conf.set(joined_bytes, joined_before)
