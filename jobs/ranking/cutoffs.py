"""The best documents of each domain up to a limit, without ranking the rest: only the bin with the limit is sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from jobs.ranking.bins import BIN_COLUMNS
from jobs.ranking.columns import unpack
from jobs.spark.statements import local_rows, local_table, run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.ranking.bins import Bin, Bins

UNLIMITED = 2**63 - 1
RANGE_COLUMNS = "id_after binary, id_until binary, max_documents bigint, max_tokens bigint"


@dataclass(frozen=True)
class Limit:
    """The most documents, and the most tokens, that may be taken from the top of a domain."""

    max_documents: int = UNLIMITED
    max_tokens: int = UNLIMITED


def take_from_top(spark: SparkSession, bins: Bins, limits: Mapping[str, Limit]) -> DataFrame:
    """The documents that come first in their domains, highest order_value first, ties by doc_id, within the limits.

    Has the columns of the documents that bins were made of. A domain without a limit is taken whole. Nothing is skipped
    to make room: the first document that goes beyond the limit ends its domain.
    """
    rows = [
        (*astuple(last_bin), *bins.edges.id_range(last_bin), *astuple(limit))
        for domain, limit in limits.items()
        if (last_bin := _last_bin(bins, domain, limit))
    ]
    last_bins = local_rows(spark, rows, f"{BIN_COLUMNS}, {RANGE_COLUMNS}")
    first_excluded = run_statement(spark, "ranking/first_excluded", documents=bins.documents, last_bins=last_bins)
    # Collected, so that the plan that follows reads the documents once.
    excluded = local_table(spark, first_excluded.toArrow(), first_excluded.schema)
    return unpack(run_statement(spark, "ranking/before_excluded", documents=bins.documents, excluded=excluded))


def _last_bin(bins: Bins, domain: str, limit: Limit) -> Bin | None:
    """The bin in which the limit lies; None where the whole domain stays within it."""
    for candidate in bins.of_domain.get(domain, []):
        documents = candidate.documents_before + candidate.num_documents
        tokens = candidate.tokens_before + candidate.num_tokens
        if documents > limit.max_documents or tokens > limit.max_tokens:
            return candidate
    return None
