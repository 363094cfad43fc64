"""Large domains cut into bins of documents that follow each other in order, so that no task holds a whole domain.

Bins are exact whatever their sizes: what is computed inside a bin is added to what comes before it. Their bounds
come from a sample that is drawn by hash, so that two readings of the same documents get the same bins.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

# Bins of all domains together, about, so that a task, which gets several, holds a small part of the documents ...
NUM_BINS = 512
# ... but no bin larger than a task sorts without trouble, and none so small that there are more bins than gain.
LARGEST_BIN, SMALLEST_BIN = 500_000, 1000
# Enough that a bin is within a fifth of its size (a random sample of n is off by one in the square root of n).
SAMPLED_PER_BIN = 100


@dataclass(frozen=True)
class Bins:
    """documents; the same with value_bin and id_bin; and a row a bin with what comes before it (bin_offsets.sql)."""

    documents: DataFrame
    binned: DataFrame
    offsets: DataFrame

    def totals(self) -> dict[str, tuple[int, int]]:
        """Domain to its documents and tokens."""
        summed = self.offsets.groupBy("domain").agg({"num_documents": "sum", "num_tokens": "sum"}).collect()
        return {row["domain"]: (row["sum(num_documents)"], row["sum(num_tokens)"]) for row in summed}


def cut_into_bins(spark: SparkSession, documents: DataFrame, rows_per_bin: int | None = None) -> Bins:
    """Bins of about rows_per_bin documents each; by default a NUM_BINS-th of all of them.

    documents has doc_id, domain, order_value (double) and num_tokens (bigint), none null. It is read three times here,
    and again by what uses the bins: it must be the same each time.
    """
    if rows_per_bin is None:
        rows_per_bin = min(LARGEST_BIN, max(SMALLEST_BIN, documents.count() // NUM_BINS))
    sample_every = max(1, rows_per_bin // SAMPLED_PER_BIN)
    values = {"sample_every": sample_every, "sampled_per_bin": max(1, rows_per_bin // sample_every)}
    found = run_statement(spark, "bin_bounds", values, documents=documents).collect()
    # Two searches are shortest where there are as many chunks as bounds in a chunk.
    chunk_size = 1 + math.isqrt(max(Counter(row["domain"] for row in found).values(), default=0))
    bounds = _bounds(spark, found, chunk_size)
    inputs = {"documents": documents, "bounds": bounds, "equals": _equals(spark, found)}
    binned = run_statement(spark, "binned", {"chunk_size": chunk_size}, **inputs)
    sizes = run_statement(spark, "bin_sizes", binned=binned)
    bins = spark.createDataFrame(sizes.collect(), sizes.schema)
    offsets = run_statement(spark, "bin_offsets", bins=bins)
    # Collected, so that it is not summed again by each that joins it.
    return Bins(documents, binned, spark.createDataFrame(offsets.collect(), offsets.schema))


def _bounds(spark: SparkSession, found: list[Row], chunk_size: int) -> DataFrame:
    """One row a domain with bounds: the highest of each chunk, and the chunks, all falling."""
    of_domain: dict[str, list[float]] = defaultdict(list)
    for row in found:
        of_domain[row["domain"]].append(row["order_value"])
    rows = []
    for domain, bounds in of_domain.items():
        falling = sorted(bounds, reverse=True)
        chunks = [falling[begin : begin + chunk_size] for begin in range(0, len(falling), chunk_size)]
        rows.append((domain, [chunk[0] for chunk in chunks], chunks))
    return spark.createDataFrame(rows, "domain string, highest array<double>, chunks array<array<double>>")


def _equals(spark: SparkSession, found: list[Row]) -> DataFrame:
    """One row for each value that fills several bins, with the ids between them."""
    rows = [(row["domain"], row["order_value"], row["doc_ids"]) for row in found if len(row["doc_ids"]) > 1]
    return spark.createDataFrame(rows, "domain string, order_value double, doc_ids array<string>")
