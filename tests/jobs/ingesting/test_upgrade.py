"""A corpus of an older version, without the hashes and sizes of its texts, and what brings it up to date."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import ingest, rank, sql
from jobs.ingest import IngestSettings
from jobs.rank import RankSettings
from jobs.spark.namespace import Namespace
from jobs.sql import SqlSettings
from schemas import corpus
from tests.jobs.conftest import Score
from tests.jobs.ingesting.ingest_cases import num_commits
from tests.jobs.scoring.scoring_cases import add_documents, all_scores, documents


def make_old(spark: SparkSession, namespace: str, texts: dict[str, Any]) -> None:
    """A corpus as earlier versions made it."""
    table = Namespace.parse(namespace).identifier("corpus")
    spark.sql(
        f"create table {table} (doc_id string not null, domain string not null, text string, source string) using delta"
        " tblproperties ('delta.constraints.doc_id_not_empty' = \"doc_id <> ''\")"
    )
    add_old(spark, namespace, texts)


def add_old(spark: SparkSession, namespace: str, texts: dict[str, Any]) -> None:
    rows = [(doc_id, "prose", text, None) for doc_id, text in texts.items()]
    frame = spark.createDataFrame(rows, "doc_id string, domain string, text string, source string")
    frame.write.format("delta").mode("append").save(f"{namespace}/corpus")


def upgrade(spark: SparkSession, namespace: str) -> list[str]:
    added: list[str] = ingest.run(IngestSettings(namespace=namespace, upgrade=True), spark)["added"]
    return added


def test_a_corpus_of_an_older_version_is_refused_until_one_command_has_upgraded_it(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    texts = documents(3) | {"null": None, "empty": "", "umlaut": "Ünïcode ✓"}
    make_old(spark, namespace, texts)
    with pytest.raises(ValueError, match=r"older version, without num_bytes, text_sha256.*ingest --upgrade"):
        score()
    assert ingest.run(IngestSettings(namespace=namespace, upgrade=True, dry_run=True), spark)["added"]
    assert num_commits(spark, namespace) == 2
    assert upgrade(spark, namespace) == ["text_sha256", "num_bytes"]
    rows = {row["doc_id"]: row for row in Namespace.parse(namespace).read(spark, corpus.TABLE).collect()}
    assert {doc_id: row["text"] for doc_id, row in rows.items()} == texts
    for doc_id, text in texts.items():
        as_bytes = (text or "").encode()
        assert rows[doc_id]["text_sha256"] == hashlib.sha256(as_bytes).hexdigest()
        assert rows[doc_id]["num_bytes"] == len(as_bytes)
    before = num_commits(spark, namespace)
    assert upgrade(spark, namespace) == []
    assert num_commits(spark, namespace) == before
    with pytest.raises(Exception, match="text_hashed"):
        spark.sql(f"update {Namespace.parse(namespace).identifier('corpus')} set text = 'other' where doc_id = 'empty'")


def test_a_stream_goes_on_over_an_upgrade_and_scores_nothing_twice(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(spark, namespace, documents(4))
    # Scored by an earlier version, which read the table as it was.
    with monkeypatch.context() as earlier:
        old = corpus.TABLE.schema.fields[:4]
        earlier.setattr(corpus.TABLE.schema, "fields", old)
        earlier.setattr(corpus.TABLE.schema, "names", [field.name for field in old])
        earlier.setattr("jobs.settings.documents.DocumentTable.is_corpus", False)
        assert score()["num_documents"] == 4
    # What was added before the upgrade and not scored yet has no hashes in the files that the stream reads.
    add_old(spark, namespace, documents(3, first=10))
    upgrade(spark, namespace)
    assert score()["num_documents"] == 3
    assert score()["num_documents"] == 0
    add_documents(spark, namespace, documents(2, first=4))
    assert score()["num_documents"] == 2
    rows = all_scores(spark, namespace)
    assert len(rows) == 9
    assert {row["status"] for row in rows} == {"scored"}
    rank.run(RankSettings(namespace=namespace), spark)


def test_views_over_a_corpus_of_an_older_version_are_refused_and_its_own_columns_are_not(
    spark: SparkSession, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_old(spark, namespace, documents(3))
    sql.run(SqlSettings(namespace=namespace, query="select count(*) as n from corpus"), spark)
    assert capsys.readouterr().out.split() == ["n", "3"]
    with pytest.raises(ValueError, match="ingest --upgrade"):
        sql.run(SqlSettings(namespace=namespace, query="select * from live_texts"), spark)
    with pytest.raises(ValueError, match="has: corpus"):
        sql.run(SqlSettings(namespace=namespace, query="select * from nowhere"), spark)


@pytest.mark.parametrize("stopped_after", ["alter table", "the first comment"])
def test_an_upgrade_that_was_stopped_is_finished_by_the_next_one(
    spark: SparkSession, namespace: str, stopped_after: str
) -> None:
    make_old(spark, namespace, documents(3))
    table = Namespace.parse(namespace).identifier("corpus")
    spark.sql(f"alter table {table} add columns (text_sha256 string, num_bytes bigint)")
    if stopped_after == "the first comment":
        spark.sql(f"update {table} set {corpus_columns()}")
        spark.sql(f"alter table {table} alter column text_sha256 comment 'its hash'")
    with pytest.raises(ValueError, match=r"older version, without .*num_bytes"):
        Namespace.parse(namespace).read(spark, corpus.TABLE)
    assert "num_bytes" in upgrade(spark, namespace)
    rows = Namespace.parse(namespace).read(spark, corpus.TABLE).collect()
    assert {row["doc_id"]: row["num_bytes"] for row in rows} == {
        doc_id: len(text.encode()) for doc_id, text in documents(3).items()
    }


def corpus_columns() -> str:
    return f"text_sha256 = {corpus.TEXT_SHA256}, num_bytes = {corpus.NUM_BYTES}"


def test_what_cannot_be_upgraded_is_said(spark: SparkSession, namespace: str) -> None:
    with pytest.raises(ValueError, match="no corpus table to upgrade"):
        upgrade(spark, namespace)
    spark.sql(f"create table delta.`{namespace}/corpus` (doc_id string, body string) using delta")
    with pytest.raises(ValueError, match="does not have the columns of the corpus table"):
        upgrade(spark, namespace)
    with pytest.raises(ValueError, match="--upgrade reads no input"):
        IngestSettings(namespace=namespace, upgrade=True, input="texts/")
    with pytest.raises(ValueError, match="--input is needed"):
        IngestSettings(namespace=namespace, domain="d")
