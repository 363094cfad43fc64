"""JSON lines: what a value is, where it stands, and how it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.ingesting.columns import InputColumns
from tests.jobs.ingesting.input_cases import read_documents


def read(spark: Any, path: Path, *lines: str, **columns: Any) -> list[tuple[Any, ...]]:
    path.write_text("\n".join(lines), encoding="utf-8")
    named = InputColumns(**({"fixed_domain": "d"} | columns))
    found = read_documents(spark, str(path), "jsonl", named)
    return [(row["doc_id"], row["domain"], row["text"]) for row in found.collect()]


def test_numbers_keep_the_spelling_that_they_have_in_the_line(spark, tmp_path):
    spellings = [
        "1e3",
        "1E+3",
        "1.0",
        "1.10",
        "-0",
        "0",
        "-0.0",
        "1e400",
        "0.1234567890123456789",
        "12345678901234567890123",
    ]
    spellings += ["1.5e-7", "100000000.0", "true", "7"]
    lines = [f'{{"other": {{"id": 5}}, "n":[1.0,2], "id" : {spelling} , "text": "id: 1.0"}}' for spelling in spellings]
    found = read(spark, tmp_path / "x.jsonl", *lines, doc_id="id")
    assert [doc_id for doc_id, _, _ in found] == spellings
    nested = [f'{{"text": "a", "meta": {{"id": {spelling}}}}}' for spelling in spellings]
    assert [row[0] for row in read(spark, tmp_path / "y.jsonl", *nested, doc_id="meta.id")] == spellings


def test_a_string_that_looks_like_something_else_is_a_string(spark, tmp_path):
    texts = [
        "{no object",
        '{"a": 1}',
        "[1]",
        "[",
        "true",
        "false",
        "null",
        "17",
        "-1.5e3",
        "1.0",
        '"Infinity"',
        "Infinity",
    ]
    lines = [json.dumps({"id": text, "text": text, "more": [17, {"text": 5}]}) for text in texts]
    assert read(spark, tmp_path / "x.jsonl", *lines, doc_id="id") == [(text, "d", text) for text in texts]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ('{"a": 1}', "an object or a list"),
        ('["a", "b"]', "an object or a list"),
        ("[]", "an object or a list"),
        ("{}", "an object or a list"),
        ("true", "true or false"),
        ("17", "a number"),
        ("-0.5e1", "a number"),
        ("1e400", "a number"),
        ("NaN", "a number"),
    ],
)
def test_a_text_that_is_no_string_is_refused_with_the_number_of_its_line(spark, tmp_path, value, kind):
    lines = [
        '{"text": "good"}',
        "",
        '{"text": null}',
        f'{{"text": {value}}}',
        '{"text": "good"}',
        f'{{"text": {value}}}',
    ]
    with pytest.raises(
        ValueError, match=rf"2 of 5 lines cannot be read; the first, line 4 of .*x\.jsonl, has {kind} as"
    ):
        read(spark, tmp_path / "x.jsonl", *lines)


@pytest.mark.parametrize("value", ['{"a": 1}', "[1]"])
def test_an_id_or_domain_must_be_one_value(spark, tmp_path, value):
    with pytest.raises(ValueError, match=r"line 1 of .* has an object or a list as 'k', which must hold one value"):
        read(spark, tmp_path / "x.jsonl", f'{{"text": "a", "k": {value}}}', doc_id="k")


@pytest.mark.parametrize("value", ["NaN", "-Infinity"])
def test_an_id_that_is_no_number_of_json_is_refused_and_does_not_matter_where_nobody_asks(spark, tmp_path, value):
    line = f'{{"text": "a", "k": {value}}}'
    assert read(spark, tmp_path / "x.jsonl", line) == [(None, "d", "a")]
    with pytest.raises(ValueError, match=r"line 1 of .* has a number as 'k' whose spelling cannot be told"):
        read(spark, tmp_path / "x.jsonl", line, doc_id="k")


@pytest.mark.parametrize(
    "line", ['{"text": "x"}],[{"text": "y"}', '{"text": "z"}] garbage }', '{"text": "a"},{}', '{"text": "a"}}']
)
def test_what_follows_an_object_is_not_passed_over(spark, tmp_path, line):
    with pytest.raises(
        ValueError, match=r"1 of 2 lines cannot be read; the first, line 2 of .*, is not one JSON object"
    ):
        read(spark, tmp_path / "x.jsonl", '{"text": "good"}', line)


def test_long_numbers_escaped_keys_and_names_in_other_capitals_stand_in_nobodys_way(spark, tmp_path):
    line = '{"text": "a", "long": ' + "7" * 3000 + ', "\\u00e9": 1.50, "Text": 1.0}'
    assert read(spark, tmp_path / "x.jsonl", line, doc_id="é") == [("1.50", "d", "a")]
    assert read(spark, tmp_path / "x.jsonl", '{"a.b": "dotted", "a": {"b": 5}}', text="a.b") == [(None, "d", "dotted")]


def test_half_a_surrogate_pair_behind_an_escaped_one_is_repaired(spark, tmp_path):
    assert (
        read(spark, tmp_path / "x.jsonl", r'{"text": "\\ud83d\ude00 \ud83d\ude00"}')[0][2] == "\\ud83d\ufffd \U0001f600"
    )


def test_the_number_of_a_line_is_right_in_a_file_that_is_read_in_blocks(spark, tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"text": "x" * (n % 700)}) for n in range(5000)]
    lines[4321] = '{"text": 1}'
    spark.conf.set("spark.sql.files.maxPartitionBytes", "100000")
    try:
        with pytest.raises(ValueError, match=r"1 of 5,000 lines cannot be read; the first, line 4,322 of"):
            read(spark, path, *lines)
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")


def test_fields_of_objects_are_named_by_their_path_and_a_dot_in_a_name_goes_first(spark, tmp_path):
    lines = [
        '{"text": "a", "meta": {"set": "Wiki", "deep": {"er": 1.50}}}',
        '{"text": "b", "meta": {"set": "Books"}, "meta.set": "dot"}',
        '{"text": "c", "meta": "{\\"set\\": \\"a string\\"}"}',
        '{"text": "d"}',
        '{"text": "e", "meta": {"set": null}}',
    ]
    path = tmp_path / "x.jsonl"
    assert [row[1] for row in read(spark, path, *lines, domain="meta.set")] == ["Wiki", "dot", None, None, None]
    assert [row[1] for row in read(spark, path, *lines, domain="`meta.set`")] == [None, "dot", None, None, None]
    assert [row[1] for row in read(spark, path, *lines, domain="`meta`.`set`")] == ["Wiki", "Books", None, None, None]
    assert [row[0] for row in read(spark, path, *lines, doc_id="meta.deep.er")] == ["1.50", None, None, None, None]
    with pytest.raises(ValueError, match=r"no column 'meta.sett'.*; it has: meta, meta.set, text"):
        read(spark, path, *lines, domain="meta.sett")


def test_a_file_that_is_no_json_lines_is_named_with_what_it_is(spark, tmp_path):
    path = tmp_path / "x.jsonl"
    kinds = {
        '{"text": "a"}\n'.encode("utf-16"): "UTF-16",
        '{"text": "a"}\n'.encode("utf-16-be"): "UTF-16BE",
        '{"text": "a"}\n'.encode("utf-32"): "UTF-32",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n": "git lfs pull",
        b"<!doctype html>\n<html></html>\n": "an HTML page",
        b"\x1f\x8b\x08\x00\x00\x00": "compressed by gzip",
    }
    path.write_bytes(b'{"text": "a"}\n<html>\n')
    with pytest.raises(ValueError, match=r"line 2 of .*, is not one JSON object: it starts with '<html>'"):
        read_documents(spark, str(path), "jsonl", InputColumns(fixed_domain="d"))
    for content, kind in kinds.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"x\.jsonl is no JSON lines, but .*{kind}"):
            read_documents(spark, str(path), "jsonl", InputColumns(fixed_domain="d"))


def test_an_object_over_several_lines_is_called_that_with_what_makes_it_one(spark, tmp_path):
    line = json.dumps({"text": "a"}, indent=2)
    with pytest.raises(ValueError, match=r"3 of 3 lines .* line 1 of .*, begins an object that .*jq -c \."):
        read(spark, tmp_path / "x.jsonl", *line.split("\n"))
    with pytest.raises(ValueError, match=r"4 of 5 lines .* line 2 of .*, begins an object that .*jq -c \."):
        read(spark, tmp_path / "x.jsonl", '{"text": "a"}', "\t{\r", '"text": "a"', "},", "{")


def test_columns_whose_names_differ_in_capitals_alone_are_read_each_for_itself(spark, tmp_path):
    line = '{"text": "low", "Text": "up", "m": {"a": 1.50, "A": "x"}, "M": {"a": "y"}}'
    path = tmp_path / "x.jsonl"
    assert read(spark, path, line, domain="Text") == [(None, "up", "low")]
    assert read(spark, path, line, text="Text", doc_id="text") == [("low", "d", "up")]
    assert read(spark, path, line, doc_id="m.a", domain="M.a") == [("1.50", "y", "low")]
    assert read(spark, path, line, doc_id="m.a", domain="m.A") == [("1.50", "x", "low")]
    with pytest.raises(ValueError, match=r"no column 'TEXT'.*; it has: M, Text, m, text"):
        read(spark, path, line, text="TEXT")
