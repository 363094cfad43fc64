"""The best of each domain up to a limit, without ranking the rest: bins find where the limit lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.bins import Bins

UNLIMITED = 2**63 - 1


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
    rows = [(domain, limit.max_documents, limit.max_tokens) for domain, limit in limits.items()]
    limit_rows = spark.createDataFrame(rows, "domain string, max_documents bigint, max_tokens bigint")
    found = run_statement(spark, "first_excluded", binned=bins.binned, offsets=bins.offsets, limits=limit_rows)
    excluded = spark.createDataFrame(found.collect(), found.schema)
    return run_statement(spark, "before_excluded", documents=bins.documents, excluded=excluded)
