"""All documents divided into bins of scores that follow each other, so that no task holds a large domain.

Results are exact whatever the sizes of the bins: what is computed inside a bin is added to what comes before it. All
large domains share the same bin edges: a bin of one domain is never larger than that bin over all documents. A small
domain is one bin.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from jobs.ranking.columns import pack
from jobs.spark.statements import local_rows, run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

# About how many bins: a task gets several, and still holds a small part of the documents ...
NUM_BINS = 512
# ... but no bin is larger than one task sorts easily, nor so small that more bins cost more than they save.
LARGEST_BIN, SMALLEST_BIN = 500_000, 1000
# A domain with no more than this share of the documents is one bin. At most 64 domains are larger, however many there
# are. With smaller ones divided, too, the driver, which reads one row per bin, would get more than it can hold.
SMALL_DOMAIN = 1 / 64
# Enough to bring each bin within a fifth of the wanted size: the relative error of a sample of n is 1 / sqrt(n).
SAMPLED_PER_BIN = 100


@dataclass(frozen=True)
class Bin:
    """A bin of a domain: its documents, their least and greatest order_value, and what comes before it in the domain.

    higher_documents: how many of those before it have a greater order_value than all of the bin's documents. The others
    have the same value, and come first by their ids.
    """

    domain: str
    value_bin: int
    id_bin: int
    num_documents: int
    num_tokens: int
    lowest: float
    highest: float
    domain_size: int
    documents_before: int
    tokens_before: int
    higher_documents: int


BIN_COLUMNS = (
    "domain string, value_bin int, id_bin int, num_documents bigint, num_tokens bigint, "
    "lowest double, highest double, domain_size bigint, documents_before bigint, tokens_before bigint, "
    "higher_documents bigint"
)


@dataclass(frozen=True)
class BinEdges:
    """Where bins end, and the domains that are divided there; every other domain is one bin.

    ids: from -order_value to the doc_ids at which bins end among the documents of this value, rising; as bytes, by
    which SQL compares text: not every id can be decoded by Python.
    """

    ids: Mapping[float, Sequence[bytes]]
    domains: Sequence[str]

    def id_range(self, bin_: Bin) -> tuple[bytes | None, bytes | None]:
        """(id_after, id_until): the bin's documents have ids between the two; None for no bound."""
        ids = self.ids.get(0.0 - bin_.lowest, [])
        # With a single id, all documents of the value are in one bin.
        if bin_.domain not in self.domains or len(ids) < 2:
            return None, None
        bounds = [None, *ids, None]
        return bounds[bin_.id_bin], bounds[bin_.id_bin + 1]


@dataclass(frozen=True)
class Bins:
    """The documents as pack returns them, the edges of their bins, and the bins of each domain in order."""

    documents: DataFrame
    edges: BinEdges
    of_domain: dict[str, list[Bin]]

    def as_rows(self, spark: SparkSession) -> DataFrame:
        """One row per bin, with BIN_COLUMNS."""
        rows = [tuple(asdict(part).values()) for parts in self.of_domain.values() for part in parts]
        return local_rows(spark, rows, BIN_COLUMNS)


def cut_into_bins(spark: SparkSession, documents: DataFrame, rows_per_bin: int | None = None) -> Bins:
    """Bins of about rows_per_bin documents each; by default a NUM_BINS-th of all of them.

    documents: doc_id, domain, order_value (double, finite) and num_tokens (bigint), none null, and any other columns.
    They are read three times here, and again by whatever uses the bins: they must be the same each time.
    """
    documents = pack(documents)
    num_documents = documents.count()
    if rows_per_bin is None:
        rows_per_bin = min(LARGEST_BIN, max(SMALLEST_BIN, num_documents // NUM_BINS))
    edges = _choose_edges(spark, documents, rows_per_bin=rows_per_bin, small_domain=num_documents * SMALL_DOMAIN)
    sizes = run_statement(spark, "ranking/bin_sizes", binned=with_bins(spark, documents, edges)).collect()
    return Bins(documents, edges, {domain: list(_in_domain(of_domain)) for domain, of_domain in _by_domain(sizes)})


def _choose_edges(spark: SparkSession, documents: DataFrame, *, rows_per_bin: int, small_domain: float) -> BinEdges:
    """Edges from a sample, in which domains have about their shares; domains of few documents are not divided."""
    import pyarrow as pa

    sample_every = max(1, rows_per_bin // SAMPLED_PER_BIN)
    sample = run_statement(spark, "ranking/bin_sample", {"sample_every": sample_every}, documents=documents).toArrow()
    num_sampled = sample.group_by("domain").aggregate([("domain", "count")])
    large = [
        row["domain"].decode(errors="replace")
        for row in num_sampled.to_pylist()
        if row["domain_count"] * sample_every > max(rows_per_bin, small_domain)
    ]
    # The same order as that of ranks: SQL, too, compares text by its bytes.
    in_order = sample.sort_by([("order_value", "descending"), ("doc_id", "ascending")])
    sampled_per_bin = max(1, rows_per_bin // sample_every)
    ends = pa.array(range(sampled_per_bin - 1, sample.num_rows, sampled_per_bin), pa.int64())
    ids = defaultdict(list)
    for row in in_order.take(ends).to_pylist():
        # 0.0 and -0.0 are one value to SQL, but two to Bucketizer.
        ids[0.0 - row["order_value"]].append(row["doc_id"])
    return BinEdges({value: sorted(of_value) for value, of_value in ids.items()}, large)


def _by_domain(sizes: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    in_order = sorted(sizes, key=lambda row: (row["domain"], row["value_bin"], row["id_bin"]))
    for domain, rows in groupby(in_order, key=lambda row: row["domain"]):
        yield domain, list(rows)


def _in_domain(sizes: list[Row]) -> Iterator[Bin]:
    """A domain's bins, given in order, with what comes before each."""
    domain_size = sum(row["num_documents"] for row in sizes)
    documents, tokens = 0, 0
    for _, same_values in groupby(sizes, key=lambda row: row["value_bin"]):
        higher = documents
        for row in same_values:
            yield Bin(
                **row.asDict(),
                domain_size=domain_size,
                documents_before=documents,
                tokens_before=tokens,
                higher_documents=higher,
            )
            documents, tokens = documents + row["num_documents"], tokens + row["num_tokens"]


def with_bins(spark: SparkSession, documents: DataFrame, edges: BinEdges) -> DataFrame:
    """The documents with value_bin and id_bin (int), rising in the order of ranks; 0 where a domain is not divided.

    documents: as pack returns them. The value at each edge has a bin of its own; if it would fill several, its
    documents are divided by their ids as well.
    """
    from pyspark.ml.feature import Bucketizer
    from pyspark.sql import functions as F

    # Bucketizer wants at least one split.
    splits = {-math.inf, 0.0, math.inf}.union(*((value, math.nextafter(value, math.inf)) for value in edges.ids))
    with_value = documents.withColumn("negated", 0.0 - documents.order_value)
    # A binary search in the JVM; in SQL, by higher-order functions, it takes ten times as long.
    bucketizer = Bucketizer(splits=sorted(splits), inputCol="negated", outputCol="value_bin")
    is_divided = F.col("domain").isin(list(edges.domains))
    value_bin = F.when(is_divided, F.col("value_bin")).otherwise(0).cast("int")
    binned = bucketizer.transform(with_value).withColumns(
        {"value_bin": value_bin, "negated": F.when(is_divided, F.col("negated"))}
    )
    several = [(value, of_value) for value, of_value in edges.ids.items() if len(of_value) > 1]
    if not several:
        return binned.drop("negated").withColumn("id_bin", F.lit(0))
    equals = local_rows(spark, several, "negated double, doc_ids array<binary>")
    longest = max(len(of_value) for _, of_value in several)
    steps = {"steps": ",".join(str(2**power) for power in reversed(range(longest.bit_length())))}
    return run_statement(spark, "ranking/with_id_bin", steps, binned=binned, equals=equals)
