"""The best of each domain within limits, found by bins and by a window, against adding up in order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.ranking.bins import cut_into_bins
from jobs.ranking.cutoffs import Limit, take_from_top
from jobs.ranking.order import domain_totals, take_first
from tests.jobs.ranking.ranking_cases import ROWS, SCHEMA, Row, documents_of

LIMITS = st.dictionaries(
    st.sampled_from(["code", "law", "nowhere"]),
    st.builds(
        Limit,
        max_documents=st.one_of(st.integers(0, 70), st.just(2**63 - 1)),
        max_tokens=st.one_of(st.sampled_from([0, 1, 10**12, 10**13]), st.integers(0, 60 * 10**12)),
    ),
)


def plainly_taken(documents: list[Row], limits: dict[str, Limit]) -> set[str]:
    """Ids of the documents that are taken one after the other, until one does not fit."""
    domains: dict[str, list[Row]] = defaultdict(list)
    for document in documents:
        domains[document[1]].append(document)
    taken: set[str] = set()
    for domain, members in domains.items():
        limit = limits.get(domain, Limit())
        count = tokens = 0
        for doc_id, _, _, num_tokens in sorted(members, key=lambda row: (-row[2], row[0].encode())):
            count, tokens = count + 1, tokens + num_tokens
            if count > limit.max_documents or tokens > limit.max_tokens:
                break
            taken.add(doc_id)
    return taken


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, limits=LIMITS, rows_per_bin=st.sampled_from([1, 2, 5, 100]))
@example(rows=[("code", 0.5, 7)] * 50, limits={"code": Limit(max_documents=23)}, rows_per_bin=3)
@example(rows=[("code", 0.5, 7)] * 50, limits={"code": Limit(max_tokens=7 * 23 + 6)}, rows_per_bin=3)
@example(rows=[("code", 0.5, 7)] * 9, limits={"code": Limit(0), "law": Limit(max_tokens=0)}, rows_per_bin=1)
def test_documents_are_taken_from_the_top_until_one_goes_beyond_the_limit(
    spark: SparkSession, rows: list[tuple[str, float, int]], limits: dict[str, Limit], rows_per_bin: int
) -> None:
    documents = documents_of(rows)
    table = spark.createDataFrame(documents, SCHEMA)
    by_bins = take_from_top(spark, cut_into_bins(spark, table, rows_per_bin), limits)
    by_window = take_first(spark, table, num_rows=len(rows), limits=limits)
    for taken in (by_bins, by_window):
        assert taken.columns == table.columns
        found = [row["doc_id"] for row in taken.collect()]
        assert len(found) == len(set(found))
        assert set(found) == plainly_taken(documents, limits)


def test_ids_that_are_no_text_are_cut_off_where_they_lie(spark: SparkSession) -> None:
    documents = spark.sql(
        "select cast(unhex(concat('FF', lpad(hex(id), 4, '0'))) as string) as doc_id, 'code' as domain, "
        "0.5d as order_value, 7L as num_tokens from range(600)"
    )
    bins = cut_into_bins(spark, documents, rows_per_bin=20)
    assert {part.num_documents for part in bins.of_domain["code"]} == {20}
    found = take_from_top(spark, bins, {"code": Limit(max_documents=250)})
    assert sorted(row[0] for row in found.selectExpr("hex(doc_id)").collect()) == [f"FF{id:04X}" for id in range(250)]


def test_queries_that_spark_compiles_take_the_same(spark: SparkSession, compiled_queries: None) -> None:
    documents = documents_of([("code", 0.5, 7)] * 50 + [("law", number / 9, number + 2) for number in range(40)])
    limits = {"code": Limit(max_documents=23), "law": Limit(max_tokens=500)}
    bins = cut_into_bins(spark, spark.createDataFrame(documents, SCHEMA), rows_per_bin=3)
    found = {row["doc_id"] for row in take_from_top(spark, bins, limits).collect()}
    assert found == plainly_taken(documents, limits)


def test_a_limit_beyond_what_numbers_hold_is_none(spark: SparkSession) -> None:
    documents = spark.createDataFrame(documents_of([("code", 0.5, 7), ("code", 0.9, 8)]), SCHEMA)
    assert take_first(spark, documents, num_rows=2, limits={"code": Limit(max_tokens=10**20)}).count() == 2


def test_totals_are_of_every_document(spark: SparkSession) -> None:
    documents = documents_of([("code", 0.5, 10**12), ("code", 0.1, 3), ("law", 0.2, 5)])
    assert domain_totals(spark.createDataFrame(documents, SCHEMA)) == {"code": (2, 10**12 + 3), "law": (1, 5)}


def test_a_session_without_a_limit_of_arrows_batches_is_served_too(spark: SparkSession) -> None:
    documents = spark.createDataFrame(documents_of([("code", 0.5, 7), ("code", 0.9, 8)]), SCHEMA)
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "0")
    try:
        found = take_from_top(spark, cut_into_bins(spark, documents), {"code": Limit(max_documents=1)})
        assert [row["order_value"] for row in found.collect()] == [0.9]
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(before))
