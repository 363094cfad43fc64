"""The first documents of each domain: by one window where they are few, in bins where they are many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobs.ranking.bins import cut_into_bins
from jobs.ranking.columns import pack, unpack
from jobs.ranking.cutoffs import UNLIMITED, Limit, take_from_top
from jobs.spark.statements import local_rows, run_statement
from jobs.spark.tasks import FEW_ROWS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LIMIT_COLUMNS = "domain string, max_documents bigint, max_tokens bigint"


def domain_totals(documents: DataFrame) -> dict[str, tuple[int, int]]:
    """Domain to its documents and tokens."""
    rows = documents.groupBy("domain").agg({"*": "count", "num_tokens": "sum"}).collect()
    return {row["domain"]: (row["count(1)"], row["sum(num_tokens)"]) for row in rows}


def take_first(spark: SparkSession, documents: DataFrame, *, num_rows: int, limits: Mapping[str, Limit]) -> DataFrame:
    """The documents that come first in their domains, highest order_value first, ties by doc_id, within the limits.

    documents: as cut_into_bins takes them, no more than num_rows; read several times where these are many. Their
    columns are kept. A domain without a limit is taken whole. Nothing is skipped to make room: the first document that
    goes beyond the limit ends its domain.
    """
    if num_rows > FEW_ROWS:
        return take_from_top(spark, cut_into_bins(spark, documents), limits)
    ranked = run_statement(spark, "ranking/ranked_by_window", documents=pack(documents))
    rows = [(domain, *(min(most, UNLIMITED) for most in asdict(limit).values())) for domain, limit in limits.items()]
    of_domains = local_rows(spark, rows, LIMIT_COLUMNS)
    return unpack(run_statement(spark, "ranking/within_limits", ranked=ranked, limits=of_domains))
