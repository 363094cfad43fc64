"""What domains are called, and which of them a scorer knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jobs.settings.messages import nearest
from schemas import corpus

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.settings.documents import DocumentTable
    from jobs.spark.namespace import Namespace

# Null, empty and blank domains share one name. As views bind no values, current_scores.sql repeats the expression.
DOMAIN_NAME = f"coalesce(nullif(trim(make_valid_utf8(domain)), ''), '{corpus.UNKNOWN_DOMAIN}')"


def known_domains(spark: SparkSession, namespace: Namespace, scorer_id: str, source: DocumentTable) -> set[str]:
    """The domains in which the scorer has scored anything, now or earlier, and those of the source."""
    from pyspark.sql import functions as F

    from jobs.corpus.documents import read_documents
    from schemas import scores

    of_scorer = namespace.read(spark, scores.TABLE).filter(F.col("scorer_id") == scorer_id)
    domains: DataFrame = of_scorer.filter("status = 'scored'").select("domain")
    if source.table or namespace.exists(spark, corpus.TABLE.name):
        domains = domains.union(read_documents(spark, namespace, source).select("domain"))
    return {row[0] for row in domains.select(F.expr(DOMAIN_NAME)).distinct().collect()}


def require_known_domains(flag: str, named: Iterable[str], domains: set[str]) -> None:
    """Raise ValueError where the flag names a domain that has no scored document."""
    for domain in named:
        if domain not in domains:
            raise ValueError(f"{flag} {domain!r} has no scored document; {nearest(domain, domains)}")
