"""A domain has one name, whichever statement gives it."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.corpus.domains import DOMAIN_NAME
from jobs.spark.statements import statement


def test_every_statement_names_domains_by_the_same_expression() -> None:
    assert DOMAIN_NAME in statement("corpus/current_scores")
    # Text is made valid in a step before, and values are bound there.
    ingested = DOMAIN_NAME.replace("make_valid_utf8(domain)", "domain").replace("'unknown'", ":unknown_domain")
    assert ingested in statement("ingesting/documents")


@pytest.mark.parametrize(
    ("domain", "name"),
    [("null", "unknown"), ("''", "unknown"), ("'  '", "unknown"), ("' code'", "code"), ("cast(x'FF' as string)", "�")],
)
def test_domains_without_a_name_are_one(spark: SparkSession, domain: str, name: str) -> None:
    row = spark.range(1).select(F.expr(f"cast({domain} as string)").alias("domain")).select(F.expr(DOMAIN_NAME)).first()
    assert row is not None
    assert row[0] == name
