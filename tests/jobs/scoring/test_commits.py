"""How a run is cut into commits: each counted once, one file each, as many as asked for and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.corpus.documents import read_documents
from jobs.scoring.bisection import Bisection
from jobs.scoring.commit import ScoresWriter, Transaction
from jobs.scoring.plan import ScoringPlan
from jobs.scoring.run_log import RunLog
from jobs.scoring.scorers import resolve_scorer
from jobs.scoring.stage import ScoreSettings, scoring_plan
from jobs.settings.documents import DocumentTable
from jobs.spark.namespace import Namespace
from schemas import scores
from tests.jobs.scoring.scoring_cases import WINDOW, add_documents, all_scores, corpus_table, documents, scores_by_id
from udfs.spark_udfs import SCORE_TYPE

Score = Callable[..., dict[str, Any]]


def num_commits(spark: SparkSession, namespace: str) -> int:
    return spark.sql(f"describe history delta.`{namespace}/scores`").filter("operation = 'WRITE'").count()


def commits(place: Namespace, plan: ScoringPlan, log: RunLog) -> Bisection:
    return Bisection(ScoresWriter(place, plan, log.run_id), log.add)


def test_a_commit_that_delta_has_seen_counts_nothing_and_one_whose_rows_are_gone_is_an_error(
    spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for two runs of one checkpoint: the slower one's version is there before it commits."""
    settings = ScoreSettings(
        namespace=namespace,
        model=tiny_model_folder,
        heads_file=heads_file,
        window=WINDOW,
        allow_implausible_model=True,
    )
    place = Namespace.parse(namespace)
    add_documents(spark, namespace, documents(3))
    place.create(spark, scores.TABLE)
    scorer = resolve_scorer(spark, place, settings)
    texts = read_documents(spark, place, settings.document_table())
    monkeypatch.setattr("jobs.scoring.commit.COUNTS_TIMEOUT", 5.0)
    plan = scoring_plan(spark, settings, scorer)
    options = Transaction("app", 0).options(4095)
    faster, slower = (RunLog(spark, place, scorer_id=scorer.scorer_id, source="source") for _ in range(2))
    assert commits(place, plan, faster).commit(spark, texts, options) is None
    assert commits(place, plan, slower).commit(spark, texts, options) is None
    assert (faster.num_documents, slower.num_documents) == (3, 0)
    assert len(scores_by_id(spark, namespace)) == 3
    spark.sql(f"delete from {place.identifier('scores')} where doc_id = 'doc-001'")
    with pytest.raises(ValueError, match=r"restored or rows were deleted.*--mode reconcile"):
        commits(place, plan, slower).commit(spark, texts, options)


def test_counts_that_spark_has_lost_are_counted_again_and_nobody_is_accused(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_documents(spark, namespace, documents(3) | {"long": "word " * 400})
    monkeypatch.setattr("jobs.scoring.commit.wait_for_counts", lambda *_: None)
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
    log = RunLog(spark, place, scorer_id="s1", source="source")
    plan = ScoringPlan("s1", paired_scores=task_of.asNondeterministic(), tasks=4, max_text_bytes=10**6)
    texts = read_documents(spark, place, DocumentTable(None, "doc_id", "text", "domain"))
    assert commits(place, plan, log).commit(spark, texts, {}) is None
    written = place.read(spark, scores.TABLE)
    assert len(written.inputFiles()) == 1
    assert log.num_documents == written.count() == 24
    assert {row["error_message"] for row in written.collect()} == {"0", "1", "2", "3"}


def test_ids_that_are_no_text_are_scored_one_by_one_and_by_a_limit(
    spark: SparkSession, namespace: str, score: Score, tiny_model_folder: str, heads_file: str
) -> None:
    add_documents(spark, namespace, documents(3))
    spark.sql(f"update {corpus_table(namespace)} set doc_id = cast(x'646f63ff' as string) where doc_id = 'doc-001'")
    # By id it is the last; with both others scored, a limit has nothing else to take.
    assert [score(limit=limit)["num_documents"] for limit in (2, 1, 1)] == [2, 1, 0]
    settings = ScoreSettings(
        namespace=namespace,
        model=tiny_model_folder,
        heads_file=heads_file,
        window=WINDOW,
        mask_mode="zero",
        allow_implausible_model=True,
    )
    place = Namespace.parse(namespace)
    texts = read_documents(spark, place, settings.document_table())
    scorer = resolve_scorer(spark, place, settings)
    log = RunLog(spark, place, scorer_id=scorer.scorer_id, source="source")
    commits(place, scoring_plan(spark, settings, scorer), log).commit_ids(spark, texts, [b"doc\xff"])
    assert log.num_documents == 1
    assert place.read(spark, scores.TABLE).filter("hex(doc_id) = '646F63FF'").count() == 2


def test_the_more_tasks_there_are_the_more_a_stream_reads_at_once(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(4):
        add_documents(spark, namespace, documents(1, first=part))
    (most,) = spark.sql(f"describe detail {corpus_table(namespace)}").select("sizeInBytes").collect()[0]
    monkeypatch.setattr("jobs.scoring.stream.MAX_BYTES_PER_READ", most // 2)
    score(tasks=4, batch_bytes=10**6)
    assert num_commits(spark, namespace) == 1


def test_a_part_of_the_source_is_not_cut_into_as_many_commits_as_all_of_it(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(4):
        add_documents(spark, namespace, documents(8, first=8 * part))
    monkeypatch.setattr("jobs.scoring.stream.MAX_BYTES_PER_READ", 1)
    monkeypatch.setattr("jobs.scoring.budget.MIN_BATCH_BYTES", 1)
    monkeypatch.setattr("jobs.scoring.budget.MIN_BATCHES", 4)
    assert score()["num_documents"] == 32
    # One that tells the speed, and one or two in each of the four parts.
    assert num_commits(spark, namespace) <= 9


@pytest.mark.parametrize(("tasks", "expected"), [(1, 6), (2, 3)])
def test_a_commit_has_a_document_for_each_model_at_work_however_few_there_are(
    tasks: int, expected: int, spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_documents(spark, namespace, {f"doc-{number}": "Words of a length. " * 9 for number in range(6)})
    monkeypatch.setattr("jobs.scoring.budget.MIN_BATCH_BYTES", 1)
    monkeypatch.setattr("jobs.scoring.budget.MIN_BATCHES", 1000)
    score(tasks=tasks)
    assert num_commits(spark, namespace) == expected


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
