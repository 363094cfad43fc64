"""The SQL files of the packages, and the names by which they are run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.ranking.columns import pack
from jobs.spark.statements import run_statement, statement

JOBS = Path(__file__).parents[3] / "jobs"


def named_statements() -> Iterator[str]:
    """The constant names that jobs/ gives to run_statement and statement."""
    for path in JOBS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("run_statement", "statement"):
                names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                yield from (name for name in names[:1] if isinstance(name, str))


def test_every_statement_that_is_run_is_a_file_of_its_owner() -> None:
    names = set(named_statements())
    assert len(names) > 20
    for name in names:
        assert statement(name), name


def test_what_is_persisted_is_read_by_every_statement_and_computed_once(spark: SparkSession) -> None:
    scored = "doc_id string, domain string, order_value double, num_tokens bigint"
    documents = spark.createDataFrame([("a", "d", 0.5, 3), ("b", "d", 0.7, 4)], scored)
    totals = spark.range(1).selectExpr("'d' as domain", "5L as max_documents", "5L as max_tokens")
    ranked = run_statement(spark, "ranking/ranked_by_window", documents=pack(documents))
    ranked.persist()
    try:
        # Steps of a statement inside a statement, and the persisted result itself as its input.
        taken = run_statement(spark, "ranking/within_limits", ranked=ranked, limits=totals)
        again = run_statement(spark, "ranking/within_limits", ranked=ranked, limits=totals)
        for rows in (ranked, taken, again):
            assert "InMemoryTableScan" in rows._jdf.queryExecution().executedPlan().toString()
            assert "Window" not in rows._jdf.queryExecution().executedPlan().toString().split("InMemoryRelation")[0]
        assert spark.conf.get("spark.sql.legacy.ctePrecedencePolicy") == "CORRECTED"
        assert [row["doc_id"] for row in taken.collect()] == ["b"]
    finally:
        ranked.unpersist()
