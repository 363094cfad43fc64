"""Reading files and tables: every document arrives, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pytest

from jobs.ingesting.columns import InputColumns
from jobs.ingesting.files import count_hidden, list_files
from jobs.ingesting.read_input import detect_format
from tests.jobs.ingesting.input_cases import read_documents

PLAIN = InputColumns(fixed_domain="d")
WITH_ID = InputColumns(doc_id="id", fixed_domain="d")
# What a line of JSON says, and what the document then is: the half pairs and the bytes that are no UTF-8 become
# U+FFFD, everything else stays as it is.
LINES: list[tuple[bytes, str | None, bool]] = [
    (b'{"id": "a", "text": "plain"}', "plain", False),
    (b'{"id": "b", "text": null}', None, False),
    (b'{"id": "c", "text": ""}', "", False),
    (b'{"id": "d", "text": " \\n\\t "}', " \n\t ", False),
    (b'{"id": "e", "text": "NUL \\u0000 inside"}', "NUL \0 inside", False),
    (b'{"id": "f", "text": "' + b"x" * 200_000 + b'"}', "x" * 200_000, False),
    (b'{"id": "g", "text": "high \\ud800 low \\uDC00."}', "high \ufffd low \ufffd.", True),
    (b'{"id": "h", "text": "pair \\ud83d\\uDE00"}', "pair \U0001f600", False),
    (b'{"id": "i", "text": "written \\\\ud800"}', "written \\ud800", False),
    (b'{"id": "j", "text": "\\\\\\ud800 and \\ud800\\ud83d\\ude00"}', "\\\ufffd and \ufffd\U0001f600", True),
    (b'{"id": "k", "text": "bytes \xff\xfe"}', "bytes \ufffd\ufffd", True),
    (b'  {"id": "l", "text": "spaces round it"}  ', "spaces round it", False),
    (b'\t{"id": "tabs", "text": "tabs round it"}\t', "tabs round it", False),
    (b'\xef\xbb\xbf{"id": "m", "text": "byte order mark"}', "byte order mark", False),
    (b'{"text": "line \xe2\x80\xa8 separator", "id": "n", "more": {"a": [1]}}', "line \u2028 separator", False),
    (b'{"id": "o"}', None, False),
    (b'{"id": 12345678901234567890, "text": "a number as id"}', "a number as id", False),
    (b'{"id": "p", "text": "' + b"\\\\" * 100_000 + b'\\ud800"}', "\\" * 100_000 + "\ufffd", True),
]
BAD_LINES = [
    b'{"text": "cut off',
    b'{"text": "a"} {"text": "b"}',
    b'{"text": "a"}, {"text": "b"}',
    b'{"text": "a"} and more',
    b'[{"text": "a"}]',
    b'{"text": "a"}]',
    b'"text"',
    b"null",
    b"17",
    b"{'text': 'single quotes'}",
    b'{"text": "a",}',
    b'{"text": "raw \x01 control"}',
    b"text,id",
]


def compress(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return pa.compress(data, codec="zstd", asbytes=True) if suffix == ".zst" else data


def texts(documents):
    return sorted((row["text"] is not None, row["text"] or "") for row in documents.select("text").collect())


def read(spark, path, file_format, columns=PLAIN):
    return read_documents(spark, str(path), file_format, columns)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_every_line_of_json_is_a_document_whatever_it_holds(spark, tmp_path, suffix):
    path = tmp_path / f"lines.jsonl{suffix}"
    path.write_bytes(compress(b"\n".join(line for line, _, _ in LINES) + b"\r\n\n  \n\t\n\xef\xbb\xbf\n", suffix))
    found = {row["doc_id"]: row for row in read(spark, path, "jsonl", WITH_ID).collect()}
    assert len(found) == len(LINES)
    for line, text, was_repaired in LINES:
        doc_id = str(json.loads(line.decode("utf-8-sig", "replace"))["id"])
        assert found[doc_id]["text"] == text, doc_id
        assert found[doc_id]["was_repaired"] == was_repaired, doc_id
        assert found[doc_id]["source"] == str(path)
        assert found[doc_id]["domain"] == "d"


def test_a_string_longer_than_jackson_likes_is_a_document(spark, tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 21_000_000 + b'"}\n')
    assert [row[0] for row in read(spark, path, "jsonl").selectExpr("length(text)").collect()] == [21_000_000]


def test_every_member_of_a_compressed_file_is_read(spark, tmp_path):
    lines = [b'{"text": "one"}\n', b'{"text": "two"}\n']
    for suffix in (".gz", ".zst"):
        (tmp_path / f"lines.jsonl{suffix}").write_bytes(b"".join(compress(line, suffix) for line in lines))
    assert texts(read(spark, tmp_path, "jsonl")) == [(True, t) for t in ("one", "one", "two", "two")]


def test_lines_that_are_not_one_json_object_are_counted_and_shown_in_short(spark, tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"\n".join([b'{"text": "good"}', *BAD_LINES]))
    with pytest.raises(
        ValueError, match=f"{len(BAD_LINES)} of {len(BAD_LINES) + 1} lines cannot be read; the first, line 2 of"
    ):
        read(spark, path, "jsonl")
    path.write_bytes(b'{"text": "\x1b[2J' + b"x" * 100_000)
    with pytest.raises(ValueError, match=r"line 1 of .*lines\.jsonl, is not one JSON object: it starts with") as error:
        read(spark, path, "jsonl")
    assert len(str(error.value)) < 400 + len(str(path))
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("line", BAD_LINES)
def test_each_kind_of_bad_line_is_found_by_itself(spark, tmp_path, line):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line)
    with pytest.raises(ValueError, match="1 of 2 lines"):
        read(spark, path, "jsonl")


def test_every_text_file_is_a_document_even_an_empty_one(spark, tmp_path):
    folder = tmp_path / "texts [1]"
    contents = {
        "plain.txt": b"two\r\nlines\n",
        "empty.txt": b"",
        "deep/er/nul and bytes.txt": b"a\0b \xff",
        "100%+1.txt": b"odd name",
        "zip.txt.gz": gzip.compress(b"unzipped\n"),
        "nothing.txt.gz": gzip.compress(b""),
        "zst.txt.zst": compress(b"also", ".zst"),
        "ümlaut.txt": b"x" * 200_000,
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    columns = InputColumns(doc_id="path", fixed_domain="d")
    found = {row["doc_id"]: row["text"] for row in read(spark, folder, "text", columns).collect()}
    assert {name.removeprefix(f"{folder}/"): text for name, text in found.items()} == {
        "plain.txt": "two\r\nlines\n",
        "empty.txt": "",
        "deep/er/nul and bytes.txt": "a\0b \ufffd",
        "100%+1.txt": "odd name",
        "zip.txt.gz": "unzipped\n",
        "nothing.txt.gz": "",
        "zst.txt.zst": "also",
        "ümlaut.txt": "x" * 200_000,
    }


def test_parquet_keeps_null_empty_and_binary_text_and_the_folders_that_it_is_parted_by(spark, tmp_path):
    rows = [("a", None, "de"), ("b", b"", "de"), ("c", b"bytes \xff \0", "fr")]
    written = spark.createDataFrame(rows, "id string, body binary, lang string")
    written.write.partitionBy("lang").parquet(str(tmp_path / "docs"))
    columns = InputColumns(text="body", doc_id="id", domain="lang")
    assert detect_format(spark, str(tmp_path / "docs")) == "parquet"
    found = read(spark, tmp_path / "docs", "parquet", columns).collect()
    assert {(row["doc_id"], row["text"], row["domain"], row["was_repaired"]) for row in found} == {
        ("a", None, "de", False),
        ("b", "", "de", False),
        ("c", "bytes \ufffd \0", "fr", True),
    }


def test_parquet_in_folders_below_is_read_also_where_some_of_these_name_a_column(spark, tmp_path):
    for folder in ("docs", "docs/deep/er"):
        spark.createDataFrame([(folder,)], "text string").write.mode("append").parquet(str(tmp_path / folder))
    assert texts(read(spark, tmp_path / "docs", "parquet")) == [(True, "docs"), (True, "docs/deep/er")]
    assert texts(read(spark, tmp_path / "docs" / "*" / "er", "parquet")) == [(True, "docs/deep/er")]
    spark.createDataFrame([("en",)], "text string").write.parquet(str(tmp_path / "docs" / "lang=en"))
    found = read(spark, tmp_path / "docs", "parquet", InputColumns(domain="lang"))
    assert {(row["text"], row["domain"]) for row in found.collect()} == {
        ("docs", None),
        ("docs/deep/er", None),
        ("en", "en"),
    }
    assert texts(read(spark, tmp_path / "docs" / "lang=en", "parquet")) == [(True, "en")]


def test_files_that_spark_passes_over_are_counted(spark, tmp_path):
    for name in ("a.md", "_index.md", ".git/config", "_posts/b.md", "deep/_c.md", "_SUCCESS", ".a.md.crc", "x=1/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert len(texts(read(spark, tmp_path, "text"))) == 2
    assert count_hidden(str(tmp_path)) == 4
    with pytest.raises(ValueError, match=r"holds no file, and 1 whose names, or folders' names, begin with _ or a dot"):
        detect_format(spark, str(tmp_path / "deep"))


def test_parquet_files_of_different_columns_are_read_by_all_of_them(spark, tmp_path):
    for row, schema in ((("old", "web"), "text string, origin string"), (("new", "en"), "text string, lang string")):
        spark.createDataFrame([row], schema).write.mode("append").parquet(str(tmp_path / "docs"))
    found = read(spark, tmp_path / "docs", "parquet", InputColumns(domain="lang", source="origin")).collect()
    assert {(row["text"], row["domain"], row["source"]) for row in found} == {("old", None, "web"), ("new", "en", None)}


def test_a_delta_table_is_read_by_path_or_name_with_fields_of_structs(spark, tmp_path):
    rows = spark.createDataFrame([(1, "text", ("en",))], "Id int, text string, meta struct<lang string>")
    rows.write.format("delta").save(str(tmp_path / "docs"))
    columns = InputColumns(doc_id="id", domain="meta.lang", source="Id")
    assert detect_format(spark, str(tmp_path / "docs")) == "delta"
    row = read(spark, tmp_path / "docs", "delta", columns).collect()[0]
    assert (row["doc_id"], row["domain"], row["source"], row["text"]) == ("1", "en", "1", "text")
    with pytest.raises(ValueError, match="no_such_table cannot be read as a Delta table"):
        read(spark, "no_such_table", "delta")
    with pytest.raises(ValueError, match="no quotes, semicolons"):
        read(spark, "docs; drop table docs", "delta")


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_column_that_is_not_there_is_answered_with_those_that_are(spark, tmp_path, file_format):
    rows = spark.createDataFrame([("a", "en")], "content string, language string")
    writer = rows.write
    (writer.parquet if file_format == "parquet" else writer.json)(str(tmp_path / "docs"))
    with pytest.raises(ValueError, match=r"no column 'text'.*; it has: content, language"):
        read(spark, tmp_path / "docs", file_format)
    with pytest.raises(ValueError, match=r"no column 'langage' \(did you mean language\?\)"):
        read(spark, tmp_path / "docs", file_format, InputColumns(text="content", domain="langage"))


def test_columns_that_hold_no_text_or_no_single_value_are_refused_by_type(spark, tmp_path):
    rows = spark.createDataFrame([(1, ["a"])], "text int, tags array<string>")
    rows.write.parquet(str(tmp_path / "docs"))
    with pytest.raises(ValueError, match=r"column 'text' is int in .*\.parquet, but documents are strings or binary"):
        read(spark, tmp_path / "docs", "parquet")
    rows.selectExpr("'x' as text", "tags").write.mode("overwrite").parquet(str(tmp_path / "docs"))
    with pytest.raises(
        ValueError,
        match=r"column 'tags' is array<string>, which Spark does not read as one value, in",
    ):
        read(spark, tmp_path / "docs", "parquet", InputColumns(domain="tags"))


def test_a_damaged_file_is_named(spark, tmp_path):
    path = tmp_path / "lines.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"text": "x" * 5000}).encode())[:-12])
    with pytest.raises(ValueError, match=r"cannot be read: .*lines\.jsonl\.gz"):
        read(spark, path, "jsonl")


def test_the_format_follows_from_the_extensions(spark, tmp_path):
    for name in ("a/x.jsonl.gz", "a/deep/y.ndjson", "b/x.md", "b/y.TXT.zst", "c/x.json", "c/y.txt", "d/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "e").mkdir()
    assert detect_format(spark, f"{tmp_path}/a") == "jsonl"
    assert detect_format(spark, f"{tmp_path}/a/*.gz") == "jsonl"
    assert detect_format(spark, f"{tmp_path}/b") == "text"
    for folder, listed in (("c", "1 .(json|txt), 1 .(txt|json)"), ("d", "1 .csv"), ("e", "no file")):
        with pytest.raises(ValueError, match=f"holds {listed}; say how to read them with --format"):
            detect_format(spark, f"{tmp_path}/{folder}")
    for nowhere in ("nowhere", "nowhere*.txt"):
        with pytest.raises(ValueError, match="cannot be read; for a table by its name, add --format delta"):
            detect_format(spark, f"{tmp_path}/{nowhere}")
    assert len(list_files(spark, str(tmp_path))) == 7


def test_a_star_is_the_name_of_a_column_and_no_pattern(spark, tmp_path):
    rows = spark.createDataFrame([("a", ("en",))], "text string, meta struct<lang string>")
    rows.write.format("delta").save(str(tmp_path / "docs"))
    for columns in (InputColumns(text="*"), InputColumns(domain="*"), InputColumns(domain="meta.*")):
        with pytest.raises(ValueError, match=r"^the input has no column '(meta\.)?\*'.*; it has: text, meta$"):
            read(spark, tmp_path / "docs", "delta", columns)
    stars = spark.createDataFrame([("a", "b", ("c",))], "text string, `*` string, meta struct<`*` string>")
    stars.createOrReplaceTempView("stars")
    columns = InputColumns(text="*", doc_id="text", domain="meta.`*`")
    row = read(spark, "stars", "delta", columns).collect()[0]
    assert (row["doc_id"], row["domain"], row["text"]) == ("a", "c", "b")
    spark.catalog.dropTempView("stars")
