"""The views, in sql and in a schema, and every query of the cookbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import mix, rank, selection, sql, views
from jobs.mix import MixSettings
from jobs.rank import RankSettings
from jobs.selecting.settings import SelectSettings
from jobs.spark.namespace import Namespace
from jobs.sql import SqlSettings
from jobs.views import ViewsSettings
from schemas import corpus
from tests.jobs.corpus.corpus_cases import corpus_rows
from tests.jobs.ranking.ranking_cases import score_row, write
from tests.jobs.scoring.scoring_cases import run_row, write_runs
from tests.jobs.selecting.selection_cases import in_order, scored

COOKBOOK = Path(__file__).parents[3] / "notebooks" / "cookbook.md"
QUERIES = re.findall(r"^## (.*?)\n\n```sql\n(.*?)```", COOKBOOK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ROWS = scored(80, seed=5)


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace with everything in it: two scorers, ranks, a selection, a mix, and tables of a user's own."""
    namespace = str(tmp_path_factory.mktemp("views"))
    place = Namespace.parse(namespace)
    texts = {row["doc_id"]: f"text of {row['doc_id']}" for row in ROWS}
    hashed = {
        row["doc_id"]: row["hash"]
        for row in spark.createDataFrame(list(texts.items()), "doc_id string, text string")
        .selectExpr("doc_id", "sha2(cast(text as binary), 256) as hash")
        .collect()
    }
    first = [row | {"text_sha256": hashed[row["doc_id"]]} for row in ROWS]
    failed = {"status": "failed", "error_class": "OutOfMemory", "error_message": "too long"}
    first[9] |= failed
    second = [
        row
        | {"scorer_id": "s2", "influence_score": None if row["influence_score"] is None else -row["influence_score"]}
        for row in first
    ]
    elsewhere = score_row("elsewhere", "code", 0.9, scorer_id="s2", run_id="r2")
    write(spark, namespace, [*first, *second, elsewhere], ("s1", "s2"))
    write_runs(spark, namespace, run_row(run_id="r"), run_row(run_id="r2", source="`theirs`"))
    place.create(spark, corpus.TABLE)
    live = [(row["doc_id"], row["domain"], texts[row["doc_id"]], "a book") for row in ROWS[1:]]
    place.append(corpus_rows(spark, live), corpus.TABLE)
    for scorer_id in ("s1", "s2"):
        rank.run(RankSettings(namespace=namespace, scorer_id=scorer_id), spark)
    selection.run(SelectSettings(namespace=namespace, scorer_id="s1", fraction=0.3), spark)
    mix.run(MixSettings(namespace=namespace), spark)
    duplicates = [(row["doc_id"], f"c{number // 2}") for number, row in enumerate(ROWS)]
    quality = [(row["doc_id"], number % 7 / 7) for number, row in enumerate(ROWS)]
    for name, rows, columns in (
        ("duplicates", duplicates, "doc_id string, cluster_id string"),
        ("quality", quality, "doc_id string, quality double"),
    ):
        spark.createDataFrame(rows, columns).write.format("delta").save(f"{namespace}/{name}")
    return namespace


def query(spark: SparkSession, namespace: str, text: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    sql.run(SqlSettings(namespace=namespace, query=text, json=True), spark)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_cookbook_has_a_dozen_queries_and_more() -> None:
    assert len(QUERIES) >= 12
    assert len({title for title, _ in QUERIES}) == len(QUERIES)


@pytest.mark.parametrize(("title", "text"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_query_of_the_cookbook_finds_something(
    title: str, text: str, spark: SparkSession, filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert query(spark, filled, text, capsys)


def test_queries_of_the_cookbook_answer_what_they_ask(
    spark: SparkSession, filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_title = dict(QUERIES)
    tokens = query(spark, filled, by_title["How many tokens are kept at each cut-off?"], capsys)
    code = in_order(ROWS)["code"]
    found = [row for row in tokens if row["domain"] == "code"]
    # Of the first scorer: the first ten rows.
    for row in found[:10]:
        kept = [member for place, member in enumerate(code, 1) if place / len(code) * 100 <= row["top_percent"] + 1e-9]
        assert row["tokens"] == sum(member["num_tokens"] for member in kept)
    overlap = query(spark, filled, by_title["Do two scorers choose the same? Overlap of their best fifths"], capsys)
    assert {row["domain"] for row in overlap} == set(in_order(ROWS))
    errors = query(spark, filled, by_title["Which errors are there, and which documents have them?"], capsys)
    assert [(row["error_class"], row["documents"]) for row in errors] == [("OutOfMemory", 2)]


def test_documents_of_another_table_are_live_and_domains_are_those_of_now(
    spark: SparkSession, filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert query(spark, filled, "select scorer_id from current_scores where doc_id = 'elsewhere'", capsys) == [
        {"scorer_id": "s2"}
    ]
    moved = ROWS[1]["doc_id"]
    assert ROWS[1]["domain"] != "moved"
    spark.sql(f"update delta.`{filled}/corpus` set domain = 'moved' where doc_id = '{moved}'")
    try:
        text = f"select distinct domain from current_scores where doc_id = '{moved}'"
        assert query(spark, filled, text, capsys) == [{"domain": "moved"}]
    finally:
        spark.sql(f"update delta.`{filled}/corpus` set domain = '{ROWS[1]['domain']}' where doc_id = '{moved}'")


def test_views_are_of_live_documents(spark: SparkSession, filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    gone = ROWS[0]["doc_id"]
    assert not query(spark, filled, f"select * from current_scores where doc_id = '{gone}'", capsys)
    summary = query(spark, filled, "select sum(num_documents) n, sum(num_failed) f from domain_summary", capsys)
    assert summary == [{"n": 2 * (len(ROWS) - 1) + 1, "f": 2}]
    selected = query(spark, filled, "select distinct rule, scorer_id from selected_documents", capsys)
    assert selected == [{"rule": "fraction 0.3", "scorer_id": "s1"}]


def test_a_schema_gets_the_views_for_good(
    spark: SparkSession, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spark.sql(f"create database if not exists with_views location '{tmp_path}'")
    try:
        write(spark, "with_views", [score_row("a", "d", 0.5), score_row("b", "d", 0.25)])
        views.run(ViewsSettings(namespace="with_views"), spark)
        views.run(ViewsSettings(namespace="with_views"), spark)
        assert "with_views`.`current_scores" in (shown := capsys.readouterr().out)
        assert "selected_documents" not in shown
        rows = spark.sql("select domain, num_scored, highest_score from with_views.domain_summary").collect()
        assert [tuple(row) for row in rows] == [("d", 2, 0.5)]
        assert query(spark, "with_views", "select count(*) as n from current_scores", capsys) == [{"n": 2}]
    finally:
        spark.sql("drop database if exists with_views cascade")


def test_a_folder_cannot_hold_views(spark: SparkSession, filled: str) -> None:
    with pytest.raises(ValueError, match="is a folder, which cannot hold views; query them with"):
        views.run(ViewsSettings(namespace=filled), spark)
