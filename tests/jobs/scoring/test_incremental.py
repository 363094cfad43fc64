"""Scoring a table that changes: each text once, nothing skipped in silence, whatever happened between runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.corpus.views import VIEWS, with_views
from jobs.spark.namespace import Namespace
from schemas import runs
from tests.jobs.corpus.corpus_cases import corpus_rows, update
from tests.jobs.scoring.scoring_cases import add_documents, all_scores, corpus_table, documents, scores_by_id

Score = Callable[..., dict[str, Any]]


def run_rows(spark: SparkSession, namespace: str) -> list[Any]:
    return Namespace.parse(namespace).read(spark, runs.TABLE).orderBy("started_at").collect()


def test_a_second_run_scores_what_was_added_and_a_third_nothing(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(6))
    assert score()["num_documents"] == 6
    before = scores_by_id(spark, namespace)
    add_documents(spark, namespace, documents(3, first=6))
    assert score()["num_documents"] == 3
    after = scores_by_id(spark, namespace)
    assert {doc_id: after[doc_id] for doc_id in before} == before
    assert sorted(after) == sorted(documents(9))
    assert score()["num_documents"] == 0
    assert [(row["state"], row["num_documents"]) for row in run_rows(spark, namespace)] == [
        ("finished", 6),
        ("finished", 3),
    ]


def test_another_text_under_the_same_id_is_scored_and_the_first_score_stays_as_history(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    spark.sql(update(corpus_table(namespace), "'Another text, of a few words.'", "doc_id = 'doc-000'"))
    spark.sql(f"delete from {corpus_table(namespace)} where doc_id = 'doc-001'")
    with pytest.raises(ValueError, match=r"updated, deleted or overwritten.*--mode reconcile"):
        score()
    assert score(mode="reconcile")["num_documents"] == 1
    rows = [row for row in all_scores(spark, namespace) if row["doc_id"] == "doc-000"]
    assert len(rows) == 2
    place = Namespace.parse(namespace)
    tables = {name: spark.table(place.identifier(name)) for name in ("corpus", "scores", "runs")}
    current = {
        row["doc_id"]: row
        for row in with_views(spark, place, tables, has_corpus=True, wanted=VIEWS)["current_scores"].collect()
    }
    assert sorted(current) == ["doc-000", "doc-002"]
    assert current["doc-000"]["scored_at"] == max(row["scored_at"] for row in rows)
    # The stream goes on after what was compared.
    add_documents(spark, namespace, documents(2, first=10))
    assert score()["num_documents"] == 2
    assert score()["num_documents"] == 0


def test_the_same_document_twice_is_scored_once(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    add_documents(spark, namespace, documents(4))
    result = score()
    assert (result["num_documents"], result["num_skipped"]) == (1, 3)
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(4))


@pytest.mark.parametrize("change", ["overwrite", "update", "delete"])
def test_a_source_that_was_rewritten_is_compared_and_loses_nothing(
    change: str, spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(4))
    score()
    table = corpus_table(namespace)
    expected = set(documents(4))
    if change == "overwrite":
        rows = corpus_rows(spark, [(doc_id, "prose", text) for doc_id, text in documents(3, first=20).items()])
        rows.write.format("delta").mode("overwrite").save(f"{namespace}/corpus")
        expected |= set(documents(3, first=20))
    elif change == "update":
        spark.sql(update(table, "concat(text, ' More.')", "doc_id = 'doc-002'"))
    else:
        spark.sql(f"delete from {table} where doc_id = 'doc-003'")
    with pytest.raises(ValueError, match=r"--mode reconcile"):
        score()
    score(mode="reconcile")
    assert {row["doc_id"] for row in all_scores(spark, namespace)} == expected
    assert score()["num_documents"] == 0


def test_an_optimised_source_has_nothing_new(spark: SparkSession, namespace: str, score: Score) -> None:
    for part in range(3):
        add_documents(spark, namespace, documents(2, first=2 * part))
    score()
    spark.sql(f"optimize {corpus_table(namespace)}")
    assert score()["num_documents"] == 0
    add_documents(spark, namespace, documents(1, first=6))
    assert score()["num_documents"] == 1


def test_a_wider_source_is_read_on(spark: SparkSession, namespace: str, score: Score, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs")

    def append(first: int, **extra: Any) -> None:
        rows = spark.createDataFrame(list(documents(2, first=first).items()), "doc_id string, text string")
        for name, value in {"domain": "x", **extra}.items():
            rows = rows.withColumn(name, F.lit(value))
        rows.write.format("delta").mode("append").option("mergeSchema", "true").save(path)

    append(0)
    assert score(corpus_table=path)["num_documents"] == 2
    append(2, language="en")
    assert score(corpus_table=path)["num_documents"] == 2
    append(4, language="en", year=2026)
    assert score(corpus_table=path)["num_documents"] == 2
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(6))


def test_a_lost_checkpoint_costs_a_look_at_the_source_and_no_score(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(5))
    score()
    before = scores_by_id(spark, namespace)
    shutil.rmtree(f"{namespace}/_checkpoints")
    add_documents(spark, namespace, documents(2, first=5))
    result = score()
    assert (result["num_documents"], result["num_skipped"]) == (2, 5)
    after = scores_by_id(spark, namespace)
    assert {doc_id: after[doc_id] for doc_id in before} == before


def test_restored_scores_are_noticed_and_what_they_lack_is_scored_again(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    version = spark.sql(f"describe history delta.`{namespace}/scores` limit 1").collect()[0]["version"]
    add_documents(spark, namespace, documents(2, first=3))
    score()
    spark.sql(f"restore table delta.`{namespace}/scores` to version as of {version}")
    add_documents(spark, namespace, documents(1, first=5))
    with pytest.raises(ValueError, match=r"restored.*--mode reconcile"):
        score()
    # To compare a part of the source, or another source, is not enough.
    assert score(limit=1, mode="reconcile")["num_documents"] == 1
    rows = spark.createDataFrame([("other", "x", "Another text.")], "doc_id string, domain string, text string")
    rows.write.format("delta").save(f"{namespace}/other")
    assert score(mode="reconcile", corpus_table=f"{namespace}/other")["num_documents"] == 1
    with pytest.raises(ValueError, match=r"restored.*--mode reconcile"):
        score()
    assert score(mode="reconcile")["num_documents"] == 2
    assert sorted(scores_by_id(spark, namespace)) == sorted([*documents(6), "other"])
    add_documents(spark, namespace, documents(1, first=6))
    assert score()["num_documents"] == 1


def test_a_source_made_anew_under_the_same_name_is_read_from_its_beginning(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    shutil.rmtree(f"{namespace}/corpus")
    add_documents(spark, namespace, documents(4))
    result = score()
    assert (result["num_documents"], result["num_skipped"]) == (1, 3)


def test_a_source_put_back_from_a_copy_is_noticed_whatever_its_version_and_nothing_is_lost(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.scoring.history.CLOCKS_DIFFER", timedelta())
    add_documents(spark, namespace, documents(2))
    shutil.copytree(f"{namespace}/corpus", tmp_path / "copy")
    score(mode="reconcile")
    for first in (2, 3):
        add_documents(spark, namespace, documents(1, first=first))
        assert score()["num_documents"] == 1
    for num_commits in (1, 2):
        # One version less than what was read, and the same.
        shutil.rmtree(f"{namespace}/corpus")
        shutil.copytree(tmp_path / "copy", f"{namespace}/corpus")
        for number in range(num_commits):
            add_documents(spark, namespace, documents(1, first=10 * num_commits + number))
        with pytest.raises(ValueError, match=r"put back from a copy.*--mode reconcile"):
            score()
    assert score(mode="reconcile")["num_documents"] == 2
    assert score()["num_documents"] == 0
    add_documents(spark, namespace, documents(1, first=30))
    assert score()["num_documents"] == 1
    expected = {**documents(4), **documents(2, first=20), **documents(1, first=30)}
    assert sorted(scores_by_id(spark, namespace)) == sorted(expected)


def test_another_column_of_the_same_table_is_another_source(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    path = str(tmp_path / "theirs")
    rows = [(doc_id, "x", text, f"The title of {doc_id}.") for doc_id, text in documents(2).items()]
    theirs = spark.createDataFrame(rows, "doc_id string, domain string, text string, title string")
    theirs.write.format("delta").save(path)
    assert score(corpus_table=path)["num_documents"] == 2
    assert score(corpus_table=path, text_column="title")["num_documents"] == 2
    assert [row["num_to_do"] for row in run_rows(spark, namespace)] == [2, 2]
    assert score(corpus_table=path)["num_documents"] == 0


def test_a_copy_of_a_tables_files_is_another_source(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    one, copy = str(tmp_path / "one"), str(tmp_path / "copy")

    def add(path: str, texts: dict[str, str]) -> None:
        rows = spark.createDataFrame(
            [(doc_id, "x", text) for doc_id, text in texts.items()], "doc_id string, domain string, text string"
        )
        rows.write.format("delta").mode("append").save(path)

    add(one, documents(2))
    assert score(corpus_table=one)["num_documents"] == 2
    shutil.copytree(one, copy)
    add(copy, documents(1, first=2))
    add(one, documents(1, first=3))
    # Both are at version 1 of a table with the same id.
    assert score(corpus_table=copy)["num_documents"] == 1
    assert score(corpus_table=one)["num_documents"] == 1
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(4))


def test_a_history_that_was_vacuumed_away_is_a_clear_error(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(2))
    score()
    add_documents(spark, namespace, documents(2, first=2))
    add_documents(spark, namespace, documents(2, first=4))
    spark.sql(f"optimize {corpus_table(namespace)}")
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    try:
        spark.sql(f"vacuum {corpus_table(namespace)} retain 0 hours")
    finally:
        spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    with pytest.raises(ValueError, match=r"no longer has the history.*--mode reconcile"):
        score()
    assert score(mode="reconcile")["num_documents"] == 4
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(6))


def test_a_source_that_is_no_delta_table_can_be_compared(spark: SparkSession, namespace: str, score: Score) -> None:
    spark.createDataFrame(
        [(doc_id, "x", text) for doc_id, text in documents(3).items()], "doc_id string, domain string, text string"
    ).createOrReplaceTempView("their_view")
    try:
        with pytest.raises(ValueError, match=r"no Delta table.*--mode reconcile"):
            score(corpus_table="their_view")
        assert score(corpus_table="their_view", mode="reconcile")["num_documents"] == 3
        assert score(corpus_table="their_view", mode="reconcile")["num_documents"] == 0
    finally:
        spark.catalog.dropTempView("their_view")


def test_failed_documents_are_tried_again_up_to_so_many_times(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(2) | {"long": "word " * 400})
    score(max_text_bytes=1500)
    for attempt, expected in ((2, 1), (3, 1), (4, 0)):
        assert score(mode="reconcile", max_text_bytes=1500)["num_documents"] == expected, attempt
    rows = [row for row in all_scores(spark, namespace) if row["doc_id"] == "long"]
    assert sorted((row["attempt"], row["status"]) for row in rows) == [(n, "failed") for n in (1, 2, 3)]
    assert score(mode="reconcile", max_attempts=4)["scored"] == 1
    assert score(mode="reconcile", max_attempts=9)["num_documents"] == 0


def test_too_many_failures_end_the_run_with_their_classes_and_keep_what_was_scored(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3) | {"long": "word " * 400})
    with pytest.raises(ValueError, match=r"1 of 4 documents failed at their first.*1 TextTooLong") as error:
        score(max_text_bytes=1500, max_failed_fraction=0.2)
    assert "attention-influence sql" in str(error.value)
    # The command line shows a plain ValueError as a message, without a stack.
    assert type(error.value) is ValueError
    assert len(scores_by_id(spark, namespace)) == 4
    (row,) = run_rows(spark, namespace)
    assert (row["state"], row["num_failed"]) == ("failed", 1)
    assert "TextTooLong" in row["message"]


def test_failures_that_are_known_do_not_stop_the_runs_after_them(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3) | {"long": "word " * 400})
    score(max_text_bytes=1500)
    spark.sql(update(corpus_table(namespace), "'Another text.'", "doc_id = 'doc-000'"))
    # Half of its documents fail; the one that does has failed before.
    result = score(mode="reconcile", max_text_bytes=1500, max_failed_fraction=0.01)
    assert (result["scored"], result["failed"]) == (1, 1)
    add_documents(spark, namespace, documents(1, first=9))
    assert score(max_text_bytes=1500, max_failed_fraction=0.01)["num_documents"] == 1


def test_a_table_of_an_older_version_is_brought_up_to_date_by_the_statement_that_the_error_shows(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(2))
    score()
    before = scores_by_id(spark, namespace)
    place = Namespace.parse(namespace)
    for name, lost in (("scores", ["attempt", "num_float32_windows"]), ("runs", ["mode", "source_id", "num_to_do"])):
        older = spark.table(place.identifier(name)).drop(*lost).localCheckpoint()
        shutil.rmtree(f"{namespace}/{name}")
        older.write.format("delta").partitionBy("scorer_id").save(f"{namespace}/{name}")
        with pytest.raises(ValueError, match=r"is of an older version, without") as error:
            score(mode="reconcile")
        spark.sql(str(error.value).splitlines()[1])
    assert score(mode="reconcile")["num_documents"] == 0
    assert scores_by_id(spark, namespace) == {
        doc_id: type(row)(**row.asDict() | {"num_float32_windows": None}) for doc_id, row in before.items()
    }


def test_a_run_whose_row_cannot_be_written_still_scores(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    add_documents(spark, namespace, documents(2))

    replace = Namespace.replace

    def refuse(self: Namespace, rows: Any, contract: Any, **which: str) -> None:
        if contract is runs.TABLE:
            raise OSError("no space left on device")
        replace(self, rows, contract, **which)

    monkeypatch.setattr(Namespace, "replace", refuse)
    assert score()["num_documents"] == 2
    assert "row in runs was not written: no space left" in capsys.readouterr().err
