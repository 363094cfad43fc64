"""The best of each domain up to a limit, without ranking the rest: bins find where the limit lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from jobs.ranking.bins import BIN_COLUMNS
from jobs.spark.statements import local_rows, local_table, run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.ranking.bins import Bin, Bins

UNLIMITED = 2**63 - 1
RANGE_COLUMNS = "id_after binary, id_until binary, max_documents bigint, max_tokens bigint"


@dataclass(frozen=True)
class Limit:
    """What may be taken of a domain, from its top: documents and tokens, both at most."""

    max_documents: int = UNLIMITED
    max_tokens: int = UNLIMITED


def take_from_top(spark: SparkSession, bins: Bins, limits: Mapping[str, Limit]) -> DataFrame:
    """The longest beginnings of the domains that stay within their limits, highest order_value first, ties by doc_id.

    A domain without a limit is taken whole. Nothing is skipped to make room: the first document that goes beyond the
    limit ends its domain.
    """
    last = [(bin_, limits[domain]) for domain in limits if (bin_ := _last_bin(bins, domain, limits[domain]))]
    rows = [(*astuple(bin_), *bins.cuts.id_range(bin_), *astuple(limit)) for bin_, limit in last]
    last_bins = local_rows(spark, rows, f"{BIN_COLUMNS}, {RANGE_COLUMNS}")
    found = run_statement(spark, "ranking/first_excluded", documents=bins.documents, last_bins=last_bins)
    excluded = local_table(spark, found.toArrow(), found.schema)
    return run_statement(spark, "ranking/before_excluded", documents=bins.documents, excluded=excluded)


def _last_bin(bins: Bins, domain: str, limit: Limit) -> Bin | None:
    """The bin in which the limit lies; None where the whole domain stays within it."""
    for bin_ in bins.of_domain.get(domain, []):
        documents, tokens = bin_.documents_before + bin_.num_documents, bin_.tokens_before + bin_.num_tokens
        if documents > limit.max_documents or tokens > limit.max_tokens:
            return bin_
    return None
