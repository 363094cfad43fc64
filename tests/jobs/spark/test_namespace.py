from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest
from pyspark.testing import assertDataFrameEqual

from jobs.spark.namespace import Namespace
from jobs.spark.spark_errors import spark_reasons
from jobs.spark.table_names import known_tables, quote_table_name
from schemas import corpus, rankings, scores
from tests.jobs.corpus.corpus_cases import corpus_rows

HOSTILE = ["a'b", 'a"b', "a`b", "a;b", "a\nb", "./a'; drop table x --", "./a`b", "./a\x00b", "", "  "]
DOCUMENT = ("a", "d", "text", None)


def documents(spark, *rows):
    return corpus_rows(spark, rows)


def ranked(spark, scorer_id, doc_id):
    return spark.createDataFrame([(scorer_id, doc_id, "d", 1, 1, 1.0, 0.5, 3, "f", 3)], rankings.TABLE.schema)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_that_could_be_read_as_sql_is_refused(text):
    with pytest.raises(ValueError, match=r"which (holds|is empty)"):
        Namespace.parse(text)
    with pytest.raises(ValueError, match=r"which (holds|is empty)"):
        quote_table_name(text)


@pytest.mark.parametrize("text", ["a.b.c", "a b", "a..b", "a.b.c.d", "a(b)", "a--b/*", "x, y"])
def test_a_name_that_is_neither_schema_nor_folder_is_refused(text):
    if "/" not in text:
        with pytest.raises(ValueError, match="must be a schema"):
            Namespace.parse(text)


@pytest.mark.parametrize("text", ["a.b.c.d", "a b", "a..b", ".a", "a(b)", "x, y", "delta.``", "delta.`a`.`b`"])
def test_a_table_name_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"is no table name|which holds"):
        quote_table_name(text)


def test_identifiers_are_always_quoted(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Namespace.parse("main.influence").identifier("scores") == "`main`.`influence`.`scores`"
    assert Namespace.parse("select").identifier("scores") == "`select`.`scores`"
    assert Namespace.parse("./data").identifier("scores") == f"delta.`{tmp_path}/data/scores`"
    assert Namespace.parse("s3://bucket/data/").identifier("scores") == "delta.`s3://bucket/data/scores`"
    assert Namespace.parse("~/data").identifier("t") == f"delta.`{os.path.expanduser('~')}/data/t`"
    with pytest.raises(ValueError, match="no table name"):
        Namespace.parse("./data").identifier("scores; drop")


def test_a_table_is_named_by_up_to_three_parts_or_by_its_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert quote_table_name("docs") == "`docs`"
    assert quote_table_name("main.web.docs-2024") == "`main`.`web`.`docs-2024`"
    assert quote_table_name("./docs") == f"delta.`{tmp_path}/docs`"
    assert quote_table_name("delta.`/data/my docs`") == "delta.`/data/my docs`"
    assert quote_table_name("s3://bucket/docs") == "delta.`s3://bucket/docs`"


def test_known_tables_are_those_of_the_contracts():
    assert {"corpus", "scores", "rankings"} <= set(known_tables())
    assert "contract" not in known_tables()


@pytest.mark.parametrize("folder", ["plain", "100% [odd] {name} ümlaut*?#"])
def test_a_folder_of_any_name_holds_tables(spark, tmp_path, folder):
    namespace = Namespace.parse(str(tmp_path / folder))
    assert namespace.table_names(spark) == []
    assert not namespace.exists(spark, "corpus")
    namespace.create(spark, corpus.TABLE)
    namespace.append(documents(spark, DOCUMENT), corpus.TABLE)
    assert namespace.exists(spark, "corpus")
    assert namespace.table_names(spark) == ["corpus"]
    assertDataFrameEqual(namespace.read(spark, corpus.TABLE), documents(spark, DOCUMENT))
    assert (tmp_path / folder / "corpus" / "_delta_log").is_dir()


def test_a_schema_holds_tables(spark):
    spark.sql("create schema if not exists influence_test")
    try:
        namespace = Namespace.parse("influence_test")
        namespace.create(spark, rankings.TABLE)
        namespace.append(ranked(spark, "s1", "a"), rankings.TABLE)
        namespace.replace(ranked(spark, "s1", "b"), rankings.TABLE, "scorer_id", "s1")
        assertDataFrameEqual(namespace.read(spark, rankings.TABLE), ranked(spark, "s1", "b"))
        namespace.replace_all(ranked(spark, "s2", "c"), rankings.TABLE)
        assertDataFrameEqual(namespace.read(spark, rankings.TABLE), ranked(spark, "s2", "c"))
        spark.range(1).createOrReplaceTempView("not_of_the_schema")
        assert namespace.table_names(spark) == ["rankings"]
    finally:
        spark.catalog.dropTempView("not_of_the_schema")
        spark.sql("drop schema influence_test cascade")


def test_a_schema_that_would_be_forgotten_is_refused_with_the_folder_to_write(spark):
    with pytest.raises(ValueError, match=r"write --namespace \./demo_data"):
        Namespace.parse("demo_data").create(spark, corpus.TABLE)


def test_a_missing_table_names_the_stage_that_makes_it(spark, namespace):
    with pytest.raises(ValueError, match="has no scores table; make it first: attention-influence score --namespace"):
        Namespace.parse(namespace).read(spark, scores.TABLE)


def test_a_namespace_that_cannot_be_written_is_an_error_before_any_work(spark, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (f"{tmp_path}/file", "nofs://bucket/data", "no_catalog.schema"):
        with pytest.raises(ValueError, match="the corpus table cannot be created in namespace") as error:
            Namespace.parse(place).create(spark, corpus.TABLE)
        assert "--namespace" in str(error.value)
        assert "\n" not in str(error.value)


def test_a_table_that_may_only_be_read_is_an_error_before_any_work(spark):
    user = os.geteuid()
    # Not pytest's folder: only its owner can look into that.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        namespace = Namespace.parse(folder)
        namespace.create(spark, corpus.TABLE)
        os.chmod(f"{folder}/corpus", 0o555)
        try:
            if user == 0:
                os.seteuid(65534)  # Root may write anything.
            with pytest.raises(ValueError, match="cannot be written by this user"):
                namespace.create(spark, corpus.TABLE)
        finally:
            os.seteuid(user)
            os.chmod(f"{folder}/corpus", 0o755)


def test_rows_of_other_columns_are_not_added(spark, namespace):
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    for wrong in (documents(spark, DOCUMENT).drop("source"), documents(spark, DOCUMENT).selectExpr("*", "1 as more")):
        with pytest.raises(ValueError, match="what was to be added to corpus"):
            place.append(wrong, corpus.TABLE)
        with pytest.raises(ValueError, match="what was to be written to corpus"):
            place.replace(wrong, corpus.TABLE, "domain", "d")
        with pytest.raises(ValueError, match="what was to be written to corpus"):
            place.replace_all(wrong, corpus.TABLE)
    assert place.read(spark, corpus.TABLE).count() == 0


def test_replacing_one_scorers_rows_leaves_the_others_in_one_commit(spark, namespace):
    place = Namespace.parse(namespace)
    place.create(spark, rankings.TABLE)
    for scorer_id, doc_id in (("s1", "a"), ("s2", "b"), ("s'3", "c")):
        place.append(ranked(spark, scorer_id, doc_id), rankings.TABLE)
    place.replace(ranked(spark, "s1", "d"), rankings.TABLE, "scorer_id", "s1")
    place.replace(ranked(spark, "s'3", "e"), rankings.TABLE, "scorer_id", "s'3")
    found = {(row["scorer_id"], row["doc_id"]) for row in place.read(spark, rankings.TABLE).collect()}
    assert found == {("s1", "d"), ("s2", "b"), ("s'3", "e")}
    assert spark.sql(f"describe history {place.identifier('rankings')}").count() == 1 + 3 + 2


def test_replacing_all_rows_is_one_commit_that_keeps_the_tables_checks(spark, namespace):
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    place.append(documents(spark, DOCUMENT, ("b", "e", "text", None)), corpus.TABLE)
    place.replace_all(documents(spark, ("c", "d", None, "s")), corpus.TABLE)
    assertDataFrameEqual(place.read(spark, corpus.TABLE), documents(spark, ("c", "d", None, "s")))
    assert spark.sql(f"describe history {place.identifier('corpus')}").count() == 1 + 1 + 1
    with pytest.raises(Exception, match="doc_id_not_empty"):
        place.replace_all(documents(spark, ("", "d", None, "s")), corpus.TABLE)


def test_a_batch_with_the_same_transaction_is_added_once(spark, namespace):
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    for _ in range(2):
        place.append(documents(spark, DOCUMENT), corpus.TABLE, {"txnAppId": "run", "txnVersion": "1"})
    assert place.read(spark, corpus.TABLE).count() == 1


def test_what_a_python_worker_complains_of_is_said_in_its_own_words(spark):
    def failing(batches: Iterable[Any]) -> Iterable[Any]:
        for _ in batches:
            raise pa.ArrowInvalid("this is no batch")
        yield from ()

    complaint = r"^reading x: pyarrow\.lib\.ArrowInvalid: this is no batch$"
    with pytest.raises(ValueError, match=complaint), spark_reasons("reading x"):
        spark.range(1).mapInArrow(failing, "id bigint").collect()


def test_what_spark_complains_of_becomes_one_line_without_its_stack(spark):
    with pytest.raises(ValueError, match=r"^reading x: \[UNRESOLVED_COLUMN") as error, spark_reasons("reading x"):
        spark.range(1).select("nothing").collect()
    assert "\n" not in str(error.value)
    assert "SQLSTATE" not in str(error.value)
