"""Ranks by one window per domain and by many bins: both equal the plain definition, row by row."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ranking.bins import cut_into_bins, with_bins
from jobs.ranking.ranks import choose_method, ranked
from tests.jobs.ranking.ranking_cases import ROWS, SCHEMA, Row, documents_of


def plainly_ranked(documents: list[Row]) -> dict[str, tuple[int, int, float, int]]:
    """doc_id to its domain_rank, domain_size, percentile and cumulative_tokens, by the definition."""
    found = {}
    domains: dict[str, list[Row]] = defaultdict(list)
    for document in documents:
        domains[document[1]].append(document)
    for members in domains.values():
        in_order = sorted(members, key=lambda document: (-document[2], document[0].encode()))
        for place, (doc_id, _, value, _) in enumerate(in_order):
            higher = sum(other[2] > value for other in members)
            percentile = 1 - higher / (len(members) - 1) if len(members) > 1 else 1.0
            tokens = sum(document[3] for document in in_order[: place + 1])
            found[doc_id] = (place + 1, len(members), percentile, tokens)
    return found


def by_id(rows: DataFrame) -> dict[str, tuple[Any, ...]]:
    columns = ("domain_rank", "domain_size", "percentile", "cumulative_tokens")
    collected = rows.collect()
    assert len({row["doc_id"] for row in collected}) == len(collected)
    return {row["doc_id"]: tuple(row[name] for name in columns) for row in collected}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, rows_per_bin=st.sampled_from([1, 2, 3, 10]))
@example(rows=[("code", 0.5, 2)] * 40, rows_per_bin=3)
@example(rows=[("code", 0.5, 2)] * 20 + [("code", 0.4, 3)] * 20 + [("law", 1.0, 5)], rows_per_bin=2)
@example(rows=[("one", 0.1, 2)], rows_per_bin=1)
def test_both_methods_give_the_ranks_of_the_definition(
    spark: SparkSession, rows: list[tuple[str, float, int]], rows_per_bin: int
) -> None:
    documents = documents_of(rows)
    table = spark.createDataFrame(documents, SCHEMA)
    expected = plainly_ranked(documents)
    assert by_id(ranked(spark, table, "window")) == expected
    assert by_id(ranked(spark, table, "bins", rows_per_bin)) == expected


def test_queries_that_spark_compiles_give_the_same_ranks(spark: SparkSession, compiled_queries: None) -> None:
    documents = documents_of([("code", 0.5, 2)] * 40 + [("law", number // 3 / 9, number + 2) for number in range(40)])
    table = spark.createDataFrame(documents, SCHEMA)
    expected = plainly_ranked(documents)
    assert by_id(ranked(spark, table, "window")) == expected
    assert by_id(ranked(spark, table, "bins", 3)) == expected


@pytest.fixture(scope="module")
def many(spark: SparkSession) -> DataFrame:
    """20,000 documents: one domain has 80 %, one only equal scores, one is mostly one value, one is a document."""
    domain = (
        "case when id < 16000 then 'large' when id < 18000 then 'equal' when id < 19999 then 'skewed' else 'one' end"
    )
    value = (
        "case when id < 16000 then pow(rand(1), 9) when id < 18000 then 0.25 "
        "when id % 20 > 0 then 0.0 else rand(2) * 1e9 end"
    )
    rows = spark.range(20_000).select(
        F.expr("sha2(cast(id as string), 256)").alias("doc_id"),
        F.expr(domain).alias("domain"),
        F.expr(value).alias("order_value"),
        F.expr("cast(2 + rand(3) * 1000 as bigint)").alias("num_tokens"),
    )
    return rows.localCheckpoint()


def test_no_bin_holds_a_large_part_of_a_domain_whatever_its_scores(spark: SparkSession, many: DataFrame) -> None:
    bins = cut_into_bins(spark, many, rows_per_bin=200)
    binned = with_bins(spark, bins.documents, bins.edges)
    sizes = Counter[tuple[Any, ...]]()
    for row in binned.groupBy("domain", "value_bin", "id_bin").count().collect():
        sizes[row["domain"], row["value_bin"], row["id_bin"]] += row["count"]
    assert sum(sizes.values()) == 20_000
    assert max(sizes.values()) < 3 * 200
    assert sum(domain == "equal" for domain, _, _ in sizes) >= 5


def test_many_small_domains_are_a_bin_each(spark: SparkSession) -> None:
    """Divided like a large one, they would have as many bins as documents, and the driver reads one row per bin."""
    documents = spark.range(2000).selectExpr(
        "cast(id as string) as doc_id",
        "concat('host ', id % 200) as domain",
        "rand(1) as order_value",
        "id as num_tokens",
    )
    parts = cut_into_bins(spark, documents, rows_per_bin=20).of_domain
    assert [len(of_domain) for of_domain in parts.values()] == [1] * 200


def test_both_methods_agree_to_the_row_on_skewed_data(spark: SparkSession, many: DataFrame) -> None:
    plain = by_id(ranked(spark, many, "window"))
    assert by_id(ranked(spark, many, "bins", 200)) == plain
    # In another order and in other partitions.
    shuffled = many.orderBy(F.xxhash64("doc_id")).repartition(7)
    assert by_id(ranked(spark, shuffled, "bins", 170)) == plain


def test_the_plan_of_bins_gathers_neither_a_domain_nor_all_documents_in_one_task(
    spark: SparkSession, many: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked(spark, many, "bins", 200).explain()
    plan = capsys.readouterr().out
    assert "SinglePartition" not in plan
    keys = re.findall(r"Exchange hashpartitioning\(([^)]*)", plan)
    assert len(keys) == 1
    assert {"domain", "value_bin", "id_bin"} <= {key.split("#")[0].strip() for key in keys[0].split(",")}


def test_windows_are_for_small_domains_and_bins_for_large_ones(
    spark: SparkSession, many: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_method(many, 2_000_000) == "window"
    monkeypatch.setattr("jobs.ranking.ranks.SMALL_DOMAIN", 15_999)
    assert choose_method(many, 2_000_000) == "bins"
    assert choose_method(many.filter("domain <> 'large'"), 2_000_000) == "window"
    # So few rows hold no large domain: nothing is counted.
    assert choose_method(many, 15_999) == "window"
