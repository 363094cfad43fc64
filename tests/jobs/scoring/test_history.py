"""Whether it is certain, before any model is looked at, that a scorer has scored all of a source."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.scoring.history import has_read_all, read_history
from jobs.scoring.source import SourceTable, find_source
from jobs.settings.documents import DocumentTable
from jobs.spark.namespace import Namespace
from schemas import runs, scores
from tests.jobs.ranking.ranking_cases import score_row, write
from tests.jobs.scoring.scoring_cases import add_documents, corpus_table, documents, run_row, write_runs

Source = Callable[[], SourceTable]


@pytest.fixture
def source(spark: SparkSession, namespace: str) -> Source:
    """The corpus as it is when this is called; s1 has scored all of it, in a run that began after scores was made."""
    add_documents(spark, namespace, documents(2))
    write(spark, namespace, [score_row("doc-000", "prose", 0.5)])

    def find() -> SourceTable:
        return find_source(spark, Namespace.parse(namespace), DocumentTable(None, "doc_id", "text", "domain"))

    write_runs(spark, namespace, finished(find()))
    write(spark, namespace, [score_row("doc-001", "prose", 0.25)])
    return find


def finished(source: SourceTable, **changes: Any) -> dict[str, Any]:
    """The row of a run that began now and has read all of the source."""
    row = run_row(state="finished", source_id=source.source_id, source_version=source.version)
    return row | {"started_at": datetime.now(UTC)} | changes


def known(spark: SparkSession, namespace: str, source: Source, scorer_id: str = "s1") -> bool:
    return has_read_all(spark, Namespace.parse(namespace), source(), scorer_id=scorer_id)


def test_a_finished_run_of_the_newest_version_has_read_all(spark: SparkSession, namespace: str, source: Source) -> None:
    assert known(spark, namespace, source)
    assert not known(spark, namespace, source, scorer_id="s2")
    spark.sql(f"optimize {Namespace.parse(namespace).identifier('scores')}")
    assert known(spark, namespace, source)
    add_documents(spark, namespace, documents(1, first=2))
    assert not known(spark, namespace, source)


@pytest.mark.parametrize(
    "change",
    [
        "delete from {} where doc_id = 'doc-001'",
        "update {} set influence_score = 0.1 where doc_id = 'doc-000'",
        "restore table {} to version as of 1",
        "create or replace table {} using delta partitioned by (scorer_id) as select * from {}",
    ],
)
def test_nothing_is_certain_once_scores_have_been_changed(
    spark: SparkSession, namespace: str, source: Source, change: str
) -> None:
    identifier = Namespace.parse(namespace).identifier("scores")
    if "replace" in change:
        spark.table(identifier).write.format("delta").save(f"{namespace}/kept")
        change = change.replace("select * from {}", f"select * from delta.`{namespace}/kept`")
    spark.sql(change.format(identifier))
    assert not known(spark, namespace, source)


def test_scores_that_are_gone_or_were_made_anew_hold_nothing(
    spark: SparkSession, namespace: str, source: Source
) -> None:
    place = Namespace.parse(namespace)
    empty = Namespace.parse(namespace + "-with-other-scores")
    empty.create(spark, runs.TABLE)
    empty.append(place.read(spark, runs.TABLE), runs.TABLE)
    assert not has_read_all(spark, empty, source(), scorer_id="s1")
    empty.create(spark, scores.TABLE)
    assert not has_read_all(spark, empty, source(), scorer_id="s1")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "running"},
        {"state": "failed"},
        # A run with a limit.
        {"source_version": None},
        {"source_id": "another"},
    ],
)
def test_only_finished_runs_that_read_a_whole_version_of_the_source_count(
    spark: SparkSession, namespace: str, source: Source, changes: dict[str, Any]
) -> None:
    add_documents(spark, namespace, documents(1, first=2))
    write_runs(spark, namespace, finished(source(), run_id="r2", **changes))
    assert not known(spark, namespace, source)
    write_runs(spark, namespace, finished(source(), run_id="r3"))
    assert known(spark, namespace, source)


def test_one_look_tells_all_that_is_needed_of_earlier_runs(spark: SparkSession, namespace: str, source: Source) -> None:
    now, table = datetime.now(UTC), source()
    write_runs(
        spark,
        namespace,
        finished(table, run_id="r2", mode="reconcile", source_version=0, num_documents=2, started_at=now),
        finished(table, run_id="r3", state="failed", num_documents=5, started_at=now + timedelta(hours=1)),
        finished(table, run_id="r4", scorer_id="s2", source_version=9, num_documents=100),
    )
    place = Namespace.parse(namespace)
    of_all = read_history(spark, place, table, scorer_id="s1")
    # The last run's, although an earlier one has read a later version.
    assert (of_all.was_read, of_all.num_documents, of_all.last_version) == (True, 47, 0)
    assert (of_all.last_compared, of_all.compared_by, of_all.first is not None) == (0, "r2", True)
    recent = read_history(spark, place, table, scorer_id="s1", since=now)
    assert (recent.num_documents, recent.last_version, recent.last_whole) == (7, 0, recent.first)
    of_nobody = read_history(spark, place, table, scorer_id="s3")
    assert (of_nobody.was_read, of_nobody.last_version, of_nobody.first) == (True, None, None)


def test_a_commit_that_does_not_say_what_it_did_makes_nothing_certain(
    spark: SparkSession, namespace: str, source: Source
) -> None:
    assert known(spark, namespace, source)
    # As engines write it that leave out what they may.
    newest = max(Path(namespace, "scores", "_delta_log").glob("*.json"))
    newest.write_text("".join(line for line in newest.open() if not line.startswith('{"commitInfo"')))
    newest.with_name(f".{newest.name}.crc").unlink()
    assert not known(spark, namespace, source)


def test_another_table_at_the_same_place_has_not_been_read(spark: SparkSession, namespace: str, source: Source) -> None:
    rows = spark.table(corpus_table(namespace)).localCheckpoint()
    spark.sql(f"create or replace table {corpus_table(namespace)} using delta as select * from {{rows}}", rows=rows)
    assert not known(spark, namespace, source)
