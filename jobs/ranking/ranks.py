"""Ranks of documents within their domains, by the method that suits the size of the domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from jobs.ranking.bins import cut_into_bins, with_bins
from jobs.ranking.columns import pack, unpack
from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Method = Literal["auto", "window", "bins"]
# Documents of a domain that one task sorts easily.
SMALL_DOMAIN = 1_000_000


def choose_method(documents: DataFrame, num_rows: int) -> Literal["window", "bins"]:
    """window, unless a domain is so large that all would wait for the one task that sorts it.

    num_rows: at least as many as there are documents; they are counted only if these could be a large domain.
    """
    if num_rows <= SMALL_DOMAIN:
        return "window"
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
