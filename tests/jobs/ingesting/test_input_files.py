"""Folders as people have them: values in their names, clones of repositories, downloads that broke off."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from jobs.ingesting.columns import InputColumns
from jobs.ingesting.read_input import detect_format
from tests.jobs.ingesting.input_cases import read_documents

# What folders are called, and the domains that these mean: as they are written, but for Hive's words for null.
VALUES = {
    "1.10": "1.10",
    "1.1": "1.1",
    "007": "007",
    "0d": "0d",
    "1e3": "1e3",
    "2024-01": "2024-01",
    "2024-01-01": "2024-01-01",
    "true": "true",
    "null": "null",
    " x ": " x ",
    "a%2Fb": "a/b",
    "a+b": "a+b",
    "100%": "100%",
    "ü=1": "ü=1",
    "__HIVE_DEFAULT_PARTITION__": None,
    "": None,
}


def write(path: Path, file_format: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if file_format == "parquet":
        pq.write_table(pa.table({"text": [text]}), path)
    else:
        path.write_text(text if file_format == "text" else json.dumps({"text": text}))


def domains(spark: Any, path: Path, file_format: str, name: str = "release") -> dict[str, str | None]:
    found = read_documents(spark, str(path), file_format, InputColumns(domain=name))
    return {row["text"]: row["domain"] for row in found.collect()}


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "text"])
def test_values_of_folders_are_text_as_it_is_written_whatever_the_format(spark, tmp_path, file_format):
    suffix = {"text": "txt"}.get(file_format, file_format)
    for number, value in enumerate(VALUES):
        write(tmp_path / "in" / f"release={value}" / "deep" / f"x.{suffix}", file_format, str(number))
    write(tmp_path / "in" / f"beside.{suffix}", file_format, "beside")
    expected = {str(number): value for number, value in enumerate(VALUES.values())}
    assert domains(spark, tmp_path / "in", file_format) == expected | {"beside": None}
    assert domains(spark, tmp_path / "in" / "release=007", file_format) == {"2": "007"}
    with pytest.raises(ValueError, match=r"no column 'relaese' \(did you mean release\?\)"):
        domains(spark, tmp_path / "in", file_format, "relaese")


def test_a_value_in_a_file_goes_before_that_of_its_folder(spark, tmp_path):
    path = tmp_path / "in" / "lang=xx" / "x.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"text": "own", "lang": "en"}\n{"text": "none"}\n')
    assert domains(spark, tmp_path / "in", "jsonl", "lang") == {"own": "en", "none": "xx"}


def test_beside_the_files_of_a_format_those_of_others_are_not_read(spark, tmp_path):
    for name in ("README.md", "data/LICENSE", "data/dataset_infos.txt"):
        write(tmp_path / "repo" / name, "text", "no document")
    (tmp_path / "repo" / ".gitattributes").write_text("*.parquet filter=lfs")
    for part in range(2):
        write(tmp_path / "repo" / "data" / f"train-{part} [x].parquet", "parquet", f"document {part}")
    with pytest.raises(ValueError, match=r"holds .*; say how to read them with --format"):
        detect_format(spark, str(tmp_path / "repo"))
    found = read_documents(spark, str(tmp_path / "repo"), "parquet", InputColumns(fixed_domain="d"))
    assert sorted(row["text"] for row in found.collect()) == ["document 0", "document 1"]


def compressed(suffix: str, *pieces: bytes) -> bytes:
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    return b"".join(compress(piece) for piece in pieces)


LINES = [b'{"text": "%d"}\n' % number for number in range(40)]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2"])
def test_a_compressed_file_of_many_members_passes_whole_and_never_when_it_was_cut(spark, tmp_path, suffix):
    whole = compressed(suffix, *LINES)
    path = tmp_path / f"lines.jsonl{suffix}"
    path.write_bytes(whole)
    assert read_documents(spark, str(path), "jsonl", InputColumns(fixed_domain="d")).count() == len(LINES)
    first = len(compressed(suffix, LINES[0]))
    for cut in (0, 3, first + 3, first + 12, len(whole) - 5, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=rf"lines\.jsonl{suffix}"):
            read_documents(spark, str(path), "jsonl", InputColumns(fixed_domain="d"))


def test_a_broken_file_among_many_is_named_with_how_far_it_is_good(spark, tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.txt.zst").write_bytes(compressed(".zst", b"good"))
    (tmp_path / "19.txt.zst").write_bytes(compressed(".zst", b"good", b"bad")[:-1])
    with pytest.raises(ValueError, match=r"19\.txt\.zst is not whole: it is cut off in frame 2; 1 frames before it"):
        read_documents(spark, str(tmp_path), "text", InputColumns(fixed_domain="d"))


@pytest.mark.parametrize("name", ["a.jsonl.xz", "a.jsonl.zip", "a.jsonl.lz4", "a.jsonl.snappy"])
def test_documents_in_other_compressions_are_refused_by_name_and_archives_beside_them_are_not_read(
    spark, tmp_path, name
):
    (tmp_path / "good.jsonl").write_bytes(LINES[0])
    for other in ("images.zip", "b.tar.gz"):
        (tmp_path / other).write_bytes(b"whatever")
    assert read_documents(spark, str(tmp_path), "jsonl", InputColumns(fixed_domain="d")).count() == 1
    with pytest.raises(ValueError, match=r"images\.zip: archives, and files compressed otherwise"):
        read_documents(spark, str(tmp_path), "text", InputColumns(fixed_domain="d"))
    (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(ValueError, match=f"{name}: archives, and files compressed otherwise"):
        read_documents(spark, str(tmp_path), "jsonl", InputColumns(fixed_domain="d"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_delta_log/0.json", "Delta table; leave --format out"),
        ("_temporary/0/part-0.parquet", "still writing to it"),
        ("_INCOMPLETE.json", "not finished"),
        (".hoodie/hoodie.properties", "Hudi table"),
        ("metadata/version-hint.text", "Iceberg table"),
    ],
)
def test_a_folder_whose_files_alone_are_not_what_it_holds_is_refused(spark, tmp_path, name, words):
    table = tmp_path / "above" / "table"
    write(table / "part-1.parquet", "parquet", "perhaps deleted")
    write(table / name, "text", "{}")
    write(table / "lang=en" / "part-2.parquet", "parquet", "perhaps deleted, too")
    # From above, from below, and by a pattern.
    for path in (table, table.parent, table / "lang=en", table / "*.parquet"):
        with pytest.raises(ValueError, match=f"has a .*{words}"):
            read_documents(spark, str(path), "parquet", InputColumns(fixed_domain="d"))


def test_links_that_lead_nowhere_or_in_circles_are_refused(spark, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES[0])
    for name, to, words in (
        ("b.jsonl", "/nonexistent", "what is not there"),
        ("self", ".", "a folder that it lies in"),
    ):
        (tmp_path / name).symlink_to(to)
        with pytest.raises(ValueError, match=f"{name} is a link to {words}"):
            read_documents(spark, str(tmp_path), "jsonl", InputColumns(fixed_domain="d"))
        (tmp_path / name).unlink()


def test_files_that_spark_lists_and_does_not_read_are_no_documents(spark, tmp_path):
    for name in ("a.txt", "_metadata.txt", "_metadata", "_common_metadata"):
        (tmp_path / name).write_text(name)
    assert detect_format(spark, str(tmp_path)) == "text"
    found = read_documents(spark, str(tmp_path), "text", InputColumns(fixed_domain="d"))
    assert [row["text"] for row in found.collect()] == ["a.txt"]


def test_a_folder_says_no_documents_text_and_values_that_are_no_utf_8_stay_as_they_are(spark, tmp_path):
    path = tmp_path / "new\nline" / "text=raw" / "lang=%E4" / "x.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"text": null}\n{"text": "own"}\n')
    found = read_documents(spark, str(tmp_path), "jsonl", InputColumns(domain="lang")).collect()
    assert {(row["text"], row["domain"]) for row in found} == {(None, "%E4"), ("own", "%E4")}


def test_a_column_that_only_folders_name_may_be_null_everywhere(spark, tmp_path):
    write(tmp_path / "lang=__HIVE_DEFAULT_PARTITION__" / "x.jsonl", "jsonl", "text")
    assert domains(spark, tmp_path, "jsonl", "lang") == {"text": None}


def test_names_in_capitals_are_read_by_their_format(spark, tmp_path):
    (tmp_path / "A.JSONL").write_bytes(LINES[0])
    (tmp_path / "B.JSONL.GZ").write_bytes(gzip.compress(LINES[1]))
    assert detect_format(spark, str(tmp_path)) == "jsonl"
    assert read_documents(spark, str(tmp_path), "jsonl", InputColumns(fixed_domain="d")).count() == 2
