"""Scoring a table that changes: each text once, nothing passed over in silence, whatever happened between runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.documents import DocumentSource, read_documents
from jobs.progress import progress
from jobs.run_log import RunLog
from jobs.score import ScoreSettings, scoring_plan
from jobs.scorers import resolve_scorer
from jobs.scoring import BatchScorer, ScoringPlan, Transaction
from jobs.tables import Namespace
from jobs.views import with_views
from schemas import runs, scores
from tests.jobs.scoring_cases import WINDOW, add_documents, all_scores, documents, scores_by_id
from udfs.spark_udfs import SCORE_TYPE

Score = Callable[..., dict[str, Any]]


def corpus_table(namespace: str) -> str:
    return Namespace.parse(namespace).identifier("corpus")


def num_commits(spark: SparkSession, namespace: str) -> int:
    return spark.sql(f"describe history delta.`{namespace}/scores`").filter("operation = 'WRITE'").count()


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
    spark.sql(f"update {corpus_table(namespace)} set text = 'Another text, of a few words.' where doc_id = 'doc-000'")
    spark.sql(f"delete from {corpus_table(namespace)} where doc_id = 'doc-001'")
    with pytest.raises(ValueError, match=r"updated, deleted or overwritten.*--mode reconcile"):
        score()
    assert score(mode="reconcile")["num_documents"] == 1
    rows = [row for row in all_scores(spark, namespace) if row["doc_id"] == "doc-000"]
    assert len(rows) == 2
    place = Namespace.parse(namespace)
    tables = {name: spark.table(place.identifier(name)) for name in ("corpus", "scores", "runs")}
    current = {
        row["doc_id"]: row for row in with_views(spark, place, tables, has_corpus=True)["current_scores"].collect()
    }
    assert sorted(current) == ["doc-000", "doc-002"]
    assert current["doc-000"]["scored_at"] == max(row["scored_at"] for row in rows)
    # The stream goes on behind what was compared.
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
        spark.createDataFrame(
            [(doc_id, "prose", text, None) for doc_id, text in documents(3, first=20).items()],
            spark.table(table).schema,
        ).write.format("delta").mode("overwrite").save(f"{namespace}/corpus")
        expected |= set(documents(3, first=20))
    elif change == "update":
        spark.sql(f"update {table} set text = concat(text, ' More.') where doc_id = 'doc-002'")
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
    # A look at a part of the source, or at another one, is none at all of it.
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
    # What the command line takes for a message, not for a mistake of ours.
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
    spark.sql(f"update {corpus_table(namespace)} set text = 'Another text.' where doc_id = 'doc-000'")
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


def test_a_commit_that_delta_has_seen_counts_nothing_and_one_whose_rows_are_gone_is_an_error(
    spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for two runs of one checkpoint: the slower one's version is there before it commits."""
    settings = ScoreSettings(namespace=namespace, model=tiny_model_folder, heads_file=heads_file, window=WINDOW)
    place = Namespace.parse(namespace)
    add_documents(spark, namespace, documents(3))
    place.create(spark, scores.TABLE)
    scorer = resolve_scorer(settings, spark, place)
    texts = read_documents(spark, place, settings.document_source())
    monkeypatch.setattr("jobs.scoring.COUNTS_TIMEOUT", 5.0)
    plan = scoring_plan(settings, spark, scorer)
    options = Transaction("app", 0).options(4095)
    faster, slower = (RunLog(spark, place, scorer.scorer_id, "source") for _ in range(2))
    with progress("Scoring") as bar:
        assert BatchScorer(place, plan, faster, bar)._commit(spark, texts, options) == ""
        batches = BatchScorer(place, plan, slower, bar)
        assert batches._commit(spark, texts, options) == ""
        assert (faster.num_documents, slower.num_documents) == (3, 0)
        assert len(scores_by_id(spark, namespace)) == 3
        spark.sql(f"delete from {place.identifier('scores')} where doc_id = 'doc-001'")
        with pytest.raises(ValueError, match=r"restored or rows were deleted.*--mode reconcile"):
            batches._commit(spark, texts, options)


def test_counts_that_spark_has_lost_are_counted_again_and_nobody_is_accused(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_documents(spark, namespace, documents(3) | {"long": "word " * 400})
    monkeypatch.setattr(RunLog, "wait_for", lambda *_: None)
    # The one that fails could be tried again at once: nothing that was committed is missing for that.
    result = score(mode="reconcile", max_text_bytes=1500)
    assert (result["scored"], result["failed"]) == (3, 1)
    assert result["num_tokens"] == sum(row["num_tokens"] or 0 for row in all_scores(spark, namespace))
    add_documents(spark, namespace, documents(1, first=3))
    assert score()["num_documents"] == 1


def test_a_commit_is_one_file_although_its_documents_are_scored_in_several_tasks(
    spark: SparkSession, namespace: str
) -> None:
    @F.pandas_udf(SCORE_TYPE)  # type: ignore[call-overload]
    def task_of(texts: pd.Series) -> pd.DataFrame:
        """Which task was given each text."""
        rows = pd.DataFrame(index=texts.index, columns=[part.split()[0] for part in SCORE_TYPE.split(", ")])
        return rows.assign(status="empty", error_message=str(TaskContext.get().partitionId()))

    place = Namespace.parse(namespace)
    add_documents(spark, namespace, documents(24))
    place.create(spark, scores.TABLE)
    log = RunLog(spark, place, "s1", "source")
    with progress("Scoring") as bar:
        batches = BatchScorer(place, ScoringPlan("s1", task_of.asNondeterministic(), 4, 10**6), log, bar)
        assert (
            batches._commit(spark, read_documents(spark, place, DocumentSource(None, "doc_id", "text", "domain")), {})
            == ""
        )
    written = place.read(spark, scores.TABLE)
    assert len(written.inputFiles()) == 1
    assert log.num_documents == written.count() == 24
    assert {row["error_message"] for row in written.collect()} == {"0", "1", "2", "3"}


def test_the_more_tasks_there_are_the_more_a_stream_reads_at_once(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(4):
        add_documents(spark, namespace, documents(1, first=part))
    (most,) = spark.sql(f"describe detail {corpus_table(namespace)}").select("sizeInBytes").collect()[0]
    monkeypatch.setattr("jobs.stream.MAX_BYTES_PER_READ", most // 2)
    score(tasks=4, batch_bytes=10**6)
    assert num_commits(spark, namespace) == 1


def test_a_part_of_the_source_is_not_cut_into_as_many_commits_as_all_of_it(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(4):
        add_documents(spark, namespace, documents(8, first=8 * part))
    monkeypatch.setattr("jobs.stream.MAX_BYTES_PER_READ", 1)
    monkeypatch.setattr("jobs.scoring.MIN_BATCH_BYTES", 1)
    monkeypatch.setattr("jobs.scoring.MIN_BATCHES", 4)
    assert score()["num_documents"] == 32
    # One that tells the speed, and one or two in each of the four parts.
    assert num_commits(spark, namespace) <= 9


def test_batches_are_as_large_as_asked_and_each_is_a_commit(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(12))
    score(batch_bytes=400)
    num_bytes = sum(len(text) for text in documents(12).values())
    assert num_bytes / 400 - 1 <= num_commits(spark, namespace) <= 12


def test_however_many_commits_there_are_a_source_that_is_compared_is_read_twice(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    reads = tmp_path / "reads"
    texts = documents(12)

    @F.udf("string")
    def read(doc_id: str) -> str:
        with reads.open("a") as file:
            file.write(f"{doc_id}\n")
        return texts[doc_id]

    ids = spark.createDataFrame([(doc_id,) for doc_id in texts], "doc_id string").repartition(3)
    source = ids.withColumn("domain", F.lit("x")).withColumn("text", read.asNondeterministic()("doc_id"))
    source.createOrReplaceTempView("counted_view")
    try:
        score(corpus_table="counted_view", mode="reconcile", batch_bytes=400)
    finally:
        spark.catalog.dropTempView("counted_view")
    assert sorted(scores_by_id(spark, namespace)) == sorted(texts)
    assert num_commits(spark, namespace) > 3
    # Once for their ids and bytes, and once for the model; what is read before is the check of the ids.
    assert 2 <= reads.read_text().count("doc-003") <= 3


def test_a_run_whose_row_cannot_be_written_still_scores(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    add_documents(spark, namespace, documents(2))

    replace = Namespace.replace

    def refuse(self: Namespace, rows: Any, contract: Any, *which: str) -> None:
        if contract is runs.TABLE:
            raise OSError("no space left on device")
        replace(self, rows, contract, *which)

    monkeypatch.setattr(Namespace, "replace", refuse)
    assert score()["num_documents"] == 2
    assert "row in runs was not written: no space left" in capsys.readouterr().err
