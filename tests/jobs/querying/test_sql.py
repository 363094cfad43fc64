from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import subprocess
import sys
from decimal import Decimal

import pytest
from pyspark.sql import Row

from jobs import sql
from jobs.querying.sql import SqlSettings, show
from jobs.spark.namespace import Namespace
from schemas import corpus, probes
from tests.jobs.corpus.corpus_cases import corpus_rows

DOCUMENTS = [
    ("a", "code", "two\nlines \x1b[2J\u202e", None),
    ("b", "code", "x" * 200_000, "file"),
    ("c", "prose", None, "file"),
]


@pytest.fixture(scope="module")
def filled(spark, tmp_path_factory) -> str:
    """A namespace with three documents and no probe."""
    place = Namespace.parse(str(tmp_path_factory.mktemp("sql")))
    place.create(spark, corpus.TABLE)
    place.create(spark, probes.TABLE)
    place.append(corpus_rows(spark, DOCUMENTS), corpus.TABLE)
    return place.folder


@pytest.fixture
def query(spark, filled, capsys):
    """Runs a query and returns what it printed."""

    def run(text, **values):
        sql.run(SqlSettings(query=text, namespace=filled, **values), spark)
        return capsys.readouterr().out

    return run


def test_tables_are_there_by_their_bare_names(query):
    shown = query("select domain, count(*) as n from corpus group by domain order by domain")
    assert shown == "domain  n\ncode    2\nprose   1\n"
    assert query("select count(*) as n from probes") == "n\n0\n"


def test_what_a_document_holds_cannot_move_the_cursor_and_long_cells_are_cut(query):
    lines = query("select text from corpus order by doc_id").splitlines()
    assert lines == ["text", r"two\nlines \x1b[2J\u202e", "x" * 59 + "…", "null"]


def test_a_terminal_gets_a_table_without_control_characters(spark, filled):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with contextlib.redirect_stdout(Terminal()) as terminal:
        sql.run(SqlSettings(query="select * from corpus order by doc_id", namespace=filled), spark)
    shown = terminal.getvalue()
    assert "┃" in shown
    assert r"two\nlines" in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown


def test_only_so_many_rows_are_shown_and_that_is_said(spark, filled, capsys):
    sql.run(SqlSettings(query="select id from range(200)", namespace=filled, limit=2), spark)
    shown = capsys.readouterr()
    assert shown.out == "id\n0\n1\n"
    assert shown.err == "(the first 2 rows; --limit N shows more, --json all)\n"
    sql.run(SqlSettings(query="select id from range(2)", namespace=filled, limit=2), spark)
    assert capsys.readouterr().err == ""
    sql.run(SqlSettings(query="select id from range(200)", namespace=filled), spark)
    assert len(capsys.readouterr().out.splitlines()) == 51


def test_json_prints_every_row_whole_one_object_a_line(query):
    rows = [json.loads(line) for line in query("select * from corpus order by doc_id", json=True).splitlines()]
    assert [(row["doc_id"], row["domain"], row["text"], row["source"]) for row in rows] == DOCUMENTS
    odd = query("select double('NaN') as n, timestamp'2026-01-01' as t, array(1, null) as a, null as x", json=True)
    assert json.loads(odd) == {"n": "NaN", "t": "2026-01-01T00:00:00.000Z", "a": [1, None], "x": None}
    assert len(query("select id from range(200)", json=True).splitlines()) == 200
    assert len(query("select id from range(200)", json=True, limit=3).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selec 1", "Syntax error at or near 'selec'"),
        ("select nothing from corpus", "[UNRESOLVED_COLUMN.WITH_SUGGESTION]"),
        ("select * from corpora", "the namespace has: corpus, live_texts, probes"),
        ("select 1/0", "[DIVIDE_BY_ZERO]"),
        ("select assert_true(text is null) from corpus", "is not true"),
        ("", "Syntax error"),
    ],
)
def test_a_query_that_spark_does_not_take_is_one_clear_line(spark, filled, text, message):
    with pytest.raises(ValueError, match=r".") as error:
        sql.run(SqlSettings(query=text, namespace=filled), spark)
    assert message in str(error.value).replace(f"namespace {filled}", "the namespace")
    assert "\n" not in str(error.value)


def test_an_empty_namespace_has_no_tables_to_ask(spark, namespace):
    with pytest.raises(ValueError, match="has: no tables"):
        sql.run(SqlSettings(query="select * from corpus_of_nobody", namespace=namespace), spark)


def test_a_view_of_a_table_that_is_gone_stops_no_query_of_the_others(spark, tmp_path, capsys):
    spark.sql(f"create database broken location '{tmp_path}'")
    try:
        place = Namespace.parse("broken")
        place.create(spark, corpus.TABLE)
        spark.sql("create table broken.gone (n int) using delta")
        spark.sql("create view broken.of_gone as select n from broken.gone")
        spark.sql("drop table broken.gone")
        sql.run(SqlSettings(query="select count(*) as n from corpus", namespace="broken"), spark)
        assert capsys.readouterr().out == "n\n0\n"
        with pytest.raises(ValueError, match="namespace broken has: corpus, live_texts; unreadable: of_gone"):
            sql.run(SqlSettings(query="select * from of_gone", namespace="broken"), spark)
    finally:
        spark.sql("drop database broken cascade")


def test_a_table_whose_name_is_a_number_has_to_be_quoted_and_stops_no_query(spark, namespace, capsys):
    spark.range(3).write.format("delta").save(f"{namespace}/2024")
    sql.run(SqlSettings(query="select count(*) as n from `2024`", namespace=namespace), spark)
    assert capsys.readouterr().out == "n\n3\n"


def test_views_of_one_namespace_do_not_stay_for_the_next(spark, filled, namespace):
    sql.run(SqlSettings(query="select 1", namespace=filled), spark)
    with pytest.raises(ValueError, match="TABLE_OR_VIEW_NOT_FOUND"):
        sql.run(SqlSettings(query="select * from corpus", namespace=namespace), spark)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (0.123456789, "0.123457"),
        (1e-9, "1e-09"),
        (float("nan"), "nan"),
        (True, "True"),
        (12345678, "12345678"),
        (Decimal("1.50"), "1.50"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        ([Row(layer=1, head=2)], '[{"layer": 1, "head": 2}]'),
        ({"a": [None, "é"]}, '{"a": [null, "é"]}'),
        (bytearray(b"\x00\xff"), "00ff"),
    ],
)
def test_each_type_is_shown_as_a_person_reads_it(value, shown):
    assert show(value) == shown


def test_a_reader_that_closes_the_pipe_is_no_error():
    program = "import sys; from jobs.cli import exit_status; sys.exit(exit_status('sql', lambda: print('x' * 9**7)))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr.read() == b""
    process.stderr.close()
