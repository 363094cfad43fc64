"""Ranks of documents within their domains, by the method that suits the size of the domains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from jobs.ranking.bins import cut_into_bins, with_bins
from jobs.ranking.columns import pack, unpack
from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Method = Literal["auto", "window", "bins"]
# Documents of a domain that one task sorts easily.
SMALL_DOMAIN = 1_000_000
# About how many rows a task should get from a shuffle.
ROWS_PER_TASK = 250_000
# The size of that many of the narrowest rows, a short id and a few equal numbers, in a shuffle.
BYTES_PER_TASK = "3m"
JOINED_BYTES = "spark.sql.adaptive.advisoryPartitionSizeInBytes"
# The second, where it is set, overrides the first.
PARTITIONS = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.coalescePartitions.initialPartitionNum")


def choose_method(documents: DataFrame) -> Literal["window", "bins"]:
    """window, unless a domain is so large that all would wait for the one task that sorts it."""
    largest = documents.groupBy("domain").count().agg({"count": "max"}).collect()[0][0] or 0
    return "bins" if largest > SMALL_DOMAIN else "window"


def ranked(
    spark: SparkSession, documents: DataFrame, method: Literal["window", "bins"], rows_per_bin: int | None = None
) -> DataFrame:
    """The documents with domain_rank, domain_size, percentile and cumulative_tokens, by order_value from the top.

    documents: as cut_into_bins takes them; their columns are kept. Both methods give the same rows.
    """
    if method == "window":
        return unpack(run_statement(spark, "ranking/ranked_by_window", documents=pack(documents)))
    bins = cut_into_bins(spark, documents, rows_per_bin)
    binned = with_bins(spark, bins.documents, bins.edges)
    return unpack(run_statement(spark, "ranking/ranked_in_bins", binned=binned, bins=bins.as_rows(spark)))


@contextmanager
def enough_tasks(spark: SparkSession, num_rows: int) -> Iterator[None]:
    """Shuffles inside the block have enough tasks for num_rows rows, where the session has fewer: a laptop's has two.

    Spark then merges only small tasks into one: rows are narrow, and in the usual 64 MiB a task would get millions.
    """
    from pyspark.errors import PySparkException

    wanted = num_rows // ROWS_PER_TASK
    settings = {JOINED_BYTES: BYTES_PER_TASK} if wanted > 1 else {}
    first, second = PARTITIONS
    for key, number in ((first, spark.conf.get(first)), (second, spark.conf.get(second, None))):
        # It may be unset, or what some platforms write: auto.
        if (number or "").isdigit() and int(number or 0) < wanted:
            settings[key] = str(wanted)
    before = {}
    try:
        for key, value in settings.items():
            # A platform may not let them be set.
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
