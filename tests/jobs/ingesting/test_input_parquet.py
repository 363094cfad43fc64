"""Parquet as other programs write it: the named columns are read, whatever stands beside them."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from jobs.ingesting.columns import InputColumns
from tests.jobs.ingesting.input_cases import read_documents

# What Spark does not read, or infer, as pandas, Polars and others write it.
STRANGE: dict[str, Any] = {
    "nanoseconds": pa.array([1, None], pa.timestamp("ns")),
    "nanoseconds_zoned": pa.array([1, None], pa.timestamp("ns", "UTC")),
    "time": pa.array([datetime.time(1, 2), None]),
    "time_ns": pa.array([1, None], pa.time64("ns")),
    "half": pa.array([np.float16(1), None], pa.float16()),
    "uuid": pa.array([b"0" * 16, None], pa.uuid()),
    "fixed": pa.array([b"0" * 16, None], pa.binary(16)),
    "wide": pa.array([decimal.Decimal(1), None], pa.decimal256(60, 2)),
    "duration": pa.array([1, None], pa.duration("us")),
    "null": pa.nulls(2),
    "nested": pa.array(
        [{"when": 1, "lang": "de"}, None], pa.struct([("when", pa.timestamp("ns")), ("lang", pa.string())])
    ),
    "list": pa.array([[1], None], pa.list_(pa.timestamp("ns"))),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.float16())),
    "category": pa.array(["x", None]).dictionary_encode(),
    "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
    "a.b": pa.array(["dotted", None]),
}


def write(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def rows(spark: Any, path: Path, **columns: Any) -> list[tuple[Any, ...]]:
    named = InputColumns(**({"fixed_domain": "d"} | columns))
    found = read_documents(spark, str(path), "parquet", named).select("doc_id", "domain", "text")
    return sorted((tuple(row) for row in found.collect()), key=str)


def test_columns_that_nobody_asked_for_may_be_of_any_type_and_differ_from_file_to_file(spark, tmp_path):
    write(tmp_path / "in" / "strange.parquet", text=["a", None], **STRANGE)
    write(tmp_path / "in" / "other.parquet", text=["b"], half=["a string here"], nested=[[1]], uuid=[1.5])
    write(tmp_path / "in" / "more.parquet", text=["c"], list=[1], extra=pa.array([1], pa.timestamp("ns")))
    assert rows(spark, tmp_path / "in") == [(None, "d", "a"), (None, "d", "b"), (None, "d", "c"), (None, "d", None)]


def test_named_columns_are_read_by_name_path_or_in_any_case_and_a_dot_in_a_name_goes_first(spark, tmp_path):
    write(tmp_path / "x.parquet", Text=["a", None], **STRANGE)
    path = tmp_path / "x.parquet"
    assert rows(spark, path, domain="nested.lang") == [(None, "de", "a"), (None, None, None)]
    assert rows(spark, path, domain="a.b", doc_id="category") == [("x", "dotted", "a"), (None, None, None)]
    assert rows(spark, path, domain="`a.b`", doc_id="unsigned") == [(str(2**64 - 1), "dotted", "a"), (None, None, None)]
    write(tmp_path / "y.parquet", **{"text": ["a"], "m": pa.array([{"x": "field"}]), "m.x": ["dot"]})
    assert rows(spark, tmp_path / "y.parquet", domain="m.x") == [(None, "dot", "a")]


def test_types_that_differ_without_changing_a_value_are_brought_together(spark, tmp_path):
    write(tmp_path / "in" / "1.parquet", id=pa.array([1], pa.int32()), text=["a"], lang=pa.nulls(1))
    write(tmp_path / "in" / "2.parquet", id=pa.array([2**62], pa.int64()), text=pa.array(["b"], pa.large_string()))
    write(tmp_path / "in" / "3.parquet", id=pa.array([2**64 - 1], pa.uint64()), text=[b"c"], lang=["de"])
    write(
        tmp_path / "in" / "4.parquet",
        id=pa.array([4], pa.int8()),
        text=pa.nulls(1),
        lang=pa.array(["fr"]).dictionary_encode(),
    )
    assert rows(spark, tmp_path / "in", doc_id="id", domain="lang") == [
        ("1", None, "a"),
        (str(2**64 - 1), "de", "c"),
        ("4", "fr", None),
        (str(2**62), None, "b"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        (pa.array([1]), pa.array(["1"]), ("bigint", "string")),
        (pa.array([1.5]), pa.array([1]), ("double", "bigint")),
        (pa.array([1.5], pa.float32()), pa.array([1.5]), ("float", "double")),
        (pa.array([True]), pa.array(["true"]), ("boolean", "string")),
    ],
)
def test_types_that_differ_in_their_values_are_refused_with_column_files_and_both_types(
    spark, tmp_path, one, other, shown
):
    write(tmp_path / "in" / "1.parquet", text=["a"], id=one)
    write(tmp_path / "in" / "2.parquet", text=["b"], id=other)
    first, second = (rf"{kind} in \S*{n}\.parquet" for n, kind in enumerate(shown, 1))
    with pytest.raises(ValueError, match=rf"column 'id' is {first} and {second}"):
        rows(spark, tmp_path / "in", doc_id="id")


@pytest.mark.parametrize("name", ["nanoseconds", "half", "uuid", "wide", "time", "list", "nested", "duration"])
def test_a_named_column_that_cannot_be_read_is_refused_with_its_file_and_type(spark, tmp_path, name):
    write(tmp_path / "x.parquet", text=["a", "b"], **STRANGE)
    with pytest.raises(ValueError, match=rf"column '{name}' is .* does not read as one value, in .*x\.parquet"):
        rows(spark, tmp_path / "x.parquet", domain=name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has no bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"PAR1 cut off in the middle", "."),
        (b"x" * 500, "."),
    ],
)
def test_a_file_that_is_no_parquet_is_named_with_what_it_is(spark, tmp_path, content, reason):
    write(tmp_path / "in" / "good.parquet", text=["a"])
    (tmp_path / "in" / "bad.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.parquet is no Parquet file that can be read: .*{reason}"):
        rows(spark, tmp_path / "in")


def test_columns_that_have_the_names_of_sparks_own_are_columns(spark, tmp_path):
    meta = pa.array([{"file_path": "evil", "lang": "de"}])
    write(tmp_path / "x.parquet", text=["a"], _metadata=meta, __file=["v"])
    named = InputColumns(doc_id="__file", domain="_metadata.lang")
    row = read_documents(spark, str(tmp_path / "x.parquet"), "parquet", named).collect()[0]
    assert (row["doc_id"], row["domain"], row["source"]) == ("v", "de", str(tmp_path / "x.parquet"))


def test_a_file_without_the_text_is_named_where_others_have_it(spark, tmp_path):
    write(tmp_path / "in" / "text.parquet", text=["a"])
    write(tmp_path / "in" / "stats.parquet", n=[1])
    with pytest.raises(ValueError, match=r"stats\.parquet has no column 'text', which other files have"):
        rows(spark, tmp_path / "in")


def test_times_as_older_spark_writes_them_are_one_value(spark, tmp_path):
    pq.write_table(
        pa.table({"text": ["a"], "t": pa.array([datetime.datetime(2024, 1, 2)])}),
        tmp_path / "x.parquet",
        use_deprecated_int96_timestamps=True,
    )
    assert rows(spark, tmp_path / "x.parquet", domain="t") == [(None, "2024-01-02 00:00:00", "a")]


@pytest.mark.parametrize(
    ("compress", "tool"),
    [(gzip.compress, "gunzip"), (zstandard.ZstdCompressor().compress, "unzstd"), (bz2.compress, "bunzip2")],
)
def test_a_parquet_file_that_was_compressed_as_a_whole_is_named_with_the_program_to_undo_it(
    spark, tmp_path, compress, tool
):
    write(tmp_path / "x.parquet", text=["a"])
    whole = compress((tmp_path / "x.parquet").read_bytes())
    for name in ("x.parquet", "x.parquet.gz"):
        (tmp_path / name).write_bytes(whole)
        with pytest.raises(ValueError, match=rf"/{name} was compressed as a whole.*: undo that with {tool}$"):
            rows(spark, tmp_path / name)


def test_values_of_one_length_are_called_by_what_they_are_and_not_binary(spark, tmp_path):
    write(tmp_path / "x.parquet", text=["a", "b"], **STRANGE)
    shown = r"fixed_size_binary\[16\] \(values of one length, such as hashes\)"
    with pytest.raises(ValueError, match=rf"column 'fixed' is {shown} in .*x\.parquet, but documents are strings"):
        rows(spark, tmp_path / "x.parquet", text="fixed")
    with pytest.raises(ValueError, match=rf"column 'fixed' is {shown}, which Spark does not read as one value, in"):
        rows(spark, tmp_path / "x.parquet", doc_id="fixed")


def test_columns_whose_names_differ_in_capitals_alone_are_refused_where_one_is_to_be_read(spark, tmp_path):
    meta = pa.array([{"Lang": "no", "lang": "de"}])
    write(tmp_path / "in" / "1.parquet", **{"text": ["low"], "Text": ["up"], "id": ["1"], "meta": meta, "x": ["x"]})
    write(tmp_path / "in" / "2.parquet", **{"TEXT": ["other"], "X": ["1"], "x": ["2"], "id": ["3"]})
    with pytest.raises(ValueError, match=r"1\.parquet has columns text and Text, one of them for 'text': Spark"):
        rows(spark, tmp_path / "in" / "1.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet has columns Lang and lang, one of them for 'meta\.lang'"):
        rows(spark, tmp_path / "in" / "1.parquet", text="x", domain="meta.lang")
    # Others of the file do not matter.
    assert rows(spark, tmp_path / "in" / "2.parquet") == [(None, "d", "other")]
