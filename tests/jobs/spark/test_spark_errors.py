"""Whatever stops Spark is told on one line, with the file and the innermost cause."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from jobs.spark.spark_errors import WIDTH, reason, spark_reasons

LINES = "".join(f'{{"id": "{number}", "text": "word {number * 7919}"}}\n' for number in range(20_000)).encode()
TABLE = pa.table({"id": [str(number) for number in range(5000)], "n": pa.array(range(5000), pa.int32())})
SECRET = "A secret document, word for word. " * 400


def read_text(spark: SparkSession, path: Path) -> None:
    spark.read.text(str(path)).selectExpr("max(value)").collect()


def read_parquet(spark: SparkSession, path: Path) -> None:
    spark.read.option("mergeSchema", "true").parquet(str(path)).selectExpr("max(id)", "max(n)").collect()


def cut_gzip(spark: SparkSession, path: Path) -> None:
    whole = gzip.compress(LINES)
    path.write_bytes(whole[: len(whole) // 2])
    read_text(spark, path)


def cut_zstd(spark: SparkSession, path: Path) -> None:
    whole = zstandard.ZstdCompressor().compress(LINES)
    path.write_bytes(whole[: len(whole) // 2])
    read_text(spark, path)


def long_zstd(spark: SparkSession, path: Path) -> None:
    long = zstandard.ZstdCompressionParameters.from_level(3, window_log=31, enable_ldm=True)
    # As a stream of unknown size, or the frame would say that it is smaller than its window.
    writer = zstandard.ZstdCompressor(compression_params=long).compressobj()
    path.write_bytes(writer.compress(LINES) + writer.flush())
    read_text(spark, path)


def no_gzip(spark: SparkSession, path: Path) -> None:
    path.write_bytes(LINES)
    read_text(spark, path)


def colon(spark: SparkSession, path: Path) -> None:
    path.write_bytes(LINES)
    read_text(spark, path.parent)


def no_parquet(spark: SparkSession, path: Path) -> None:
    path.write_bytes(LINES)
    read_parquet(spark, path)


def empty_parquet(spark: SparkSession, path: Path) -> None:
    path.write_bytes(b"")
    read_parquet(spark, path)


def cut_parquet(spark: SparkSession, path: Path) -> None:
    pq.write_table(TABLE, path)
    path.write_bytes(path.read_bytes()[:5000])
    read_parquet(spark, path)


def bad_page(spark: SparkSession, path: Path) -> None:
    pq.write_table(TABLE, path, use_dictionary=False, compression="zstd")
    content = bytearray(path.read_bytes())
    content[2000:2200] = bytes(byte ^ 0xA5 for byte in content[2000:2200])
    path.write_bytes(content)
    read_parquet(spark, path)


def other_types(spark: SparkSession, path: Path) -> None:
    path.mkdir()
    wide = {f"column_{number}": ["x"] for number in range(60)}
    pq.write_table(pa.table({"id": ["a"], **wide, "n": pa.array([1], pa.int32())}), path / "a.parquet")
    pq.write_table(pa.table({"id": ["a"], **wide, "n": ["one"]}), path / "b.parquet")
    read_parquet(spark, path)


def gone(spark: SparkSession, path: Path) -> None:
    path.write_bytes(LINES)
    found = spark.read.text(str(path))
    path.unlink()
    found.collect()


def wrong_checksum(spark: SparkSession, path: Path) -> None:
    path.write_bytes(b"some text\n")
    path.with_name(f".{path.name}.crc").write_bytes(b"crc\0\0\0\2\0\1\2\3\4")
    read_text(spark, path)


def delta_file_gone(spark: SparkSession, path: Path) -> None:
    spark.range(3).write.format("delta").save(str(path))
    for file in path.glob("*.parquet"):
        file.unlink()
    spark.read.format("delta").load(str(path)).collect()


def delta_file_gone_in_a_stream(spark: SparkSession, path: Path) -> None:
    spark.range(3).write.format("delta").save(str(path))
    for file in path.glob("*.parquet"):
        file.unlink()
    stream = spark.readStream.format("delta").load(str(path)).writeStream.format("noop")
    query = stream.trigger(availableNow=True).option("checkpointLocation", f"{path}.checkpoint").start()
    query.awaitTermination()


def below_a_file(spark: SparkSession, path: Path) -> None:
    path.write_text("x")
    spark.range(1).write.parquet(str(path / "table"))


FOOTER = "Could not read footer. .*: it is not a Parquet file"
# What goes wrong, in a file of which name, and what is said of it after the name.
FILES: dict[str, tuple[Callable[[SparkSession, Path], None], str, str]] = {
    "cut gzip": (cut_gzip, "a.jsonl.gz", r": Unexpected end of input stream \(the file is cut off\)$"),
    "no gzip": (no_gzip, "a.jsonl.gz", ": not a gzip file$"),
    "cut zstd": (cut_zstd, "a b, ü 100%25.jsonl.zst", r": Truncated source \(the file is cut off\)$"),
    "long zstd": (long_zstd, "a.jsonl.zst", r": Frame requires too much memory .* \(.*without --long\)$"),
    "no zstd": (no_gzip, "a.jsonl.zst", ": Unknown frame descriptor$"),
    "colon": (colon, "a:b.jsonl", r": Relative path .* \(Spark reads no file with a colon in its name; rename it\)$"),
    "no parquet": (no_parquet, "a.parquet", rf"\. {FOOTER}. Expected magic number .* \(the file is cut off, or no P"),
    "empty parquet": (empty_parquet, "a.parquet", rf"\. {FOOTER} \(length is too low: 0\)"),
    "cut parquet": (cut_parquet, "a ü.parquet", r"\. Could not read footer. .* is not a Parquet file. Expected magic"),
    "bad page": (bad_page, "a.parquet", ": Data corruption detected$"),
    "gone": (gone, "a.txt", r"\. File does not exist"),
    "wrong checksum": (wrong_checksum, "a.txt", ": Checksum error: .*a.txt at 0"),
    "delta file gone": (delta_file_gone, "table", r"/part-.*\.parquet. File does not exist"),
    "stream": (delta_file_gone_in_a_stream, "table", r"/part-.*\.parquet. File does not exist"),
    "below a file": (below_a_file, "a.txt", "$"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_read_is_named_with_the_innermost_cause(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    cause, name, said = FILES[kind]
    with pytest.raises(ValueError, match=r"^reading x: ") as error, spark_reasons("reading x"):
        cause(spark, tmp_path / name)
    line = str(error.value)
    assert re.search(f"{re.escape(str(tmp_path / name))}{said}", line), line
    assert len(line) <= WIDTH + len("reading x: ")
    assert not re.search(r"\n|\tat |java\.|org\.apache|SQLSTATE|Job aborted|awaitResult", line), line


def test_columns_of_two_types_are_named_without_those_that_agree(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x: ") as error, spark_reasons("x"):
        other_types(spark, tmp_path / "in")
    assert str(error.value) == (
        "x: [CANNOT_MERGE_SCHEMAS] Failed merging schemas: n is INT in one file and STRING in another: "
        '[CANNOT_MERGE_INCOMPATIBLE_DATA_TYPE] Failed to merge incompatible data types "INT" and "STRING"'
    )


def test_a_document_in_an_error_is_cut_and_cannot_move_the_cursor(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.createDataFrame([(f"\x1b[2J\n{SECRET}", 1)], "text string, n int")
    with pytest.raises(ValueError, match="x: ") as error, spark_reasons("x"):
        rows.selectExpr("cast(text as int)").collect()
    assert re.search(
        r"The value '\\x1b\[2J\\nA secret.{0,50}…' of the type .* cannot be cast to \"INT\"", str(error.value)
    )
    table = str(tmp_path / "table")
    rows.limit(0).write.format("delta").save(table)
    spark.sql(f"alter table delta.`{table}` add constraint short check (length(text) < 10)")
    with pytest.raises(ValueError, match="CHECK constraint short") as error, spark_reasons("x"):
        rows.write.format("delta").mode("append").save(table)
    with pytest.raises(ValueError, match="USER_RAISED_EXCEPTION") as raised, spark_reasons("x"):
        rows.selectExpr("raise_error(text)").collect()
    for line in (str(error.value), str(raised.value)):
        assert len(line) <= WIDTH + 3
        assert line.isprintable()


def test_a_workers_error_is_in_its_own_words_below_another_error_too(spark: SparkSession, tmp_path: Path) -> None:
    def failing(batches: Iterable[Any]) -> Iterable[Any]:
        for _ in batches:
            raise KeyError("no such thing")
        yield from ()

    rows = spark.range(1).mapInArrow(failing, "id bigint")
    with pytest.raises(ValueError, match=r"^x: KeyError: 'no such thing'$"), spark_reasons("x"):
        rows.collect()
    with pytest.raises(ValueError, match=r"^x: .*KeyError: 'no such thing'$"), spark_reasons("x"):
        rows.write.parquet(str(tmp_path / "out"))


def test_a_query_that_spark_refuses_says_what_spark_says(spark: SparkSession, tmp_path: Path) -> None:
    queries = {
        "select nothing from range(1)": "[UNRESOLVED_COLUMN.WITHOUT_SUGGESTION] A column",
        "selec 1": "[PARSE_SYNTAX_ERROR] Syntax error at or near 'selec'",
        f"select * from text.`{tmp_path}/nowhere`": f"[PATH_NOT_FOUND] Path does not exist: {tmp_path}/nowhere",
        "select 1 / (id - id) from range(1)": "[DIVIDE_BY_ZERO] Division by zero",
    }
    for query, said in queries.items():
        with pytest.raises(PySparkException) as error:
            spark.sql(query).collect()
        assert reason(error.value).replace("WITH_SUGGESTION", "WITHOUT_SUGGESTION").startswith(said)
        assert len(reason(error.value).splitlines()) == 1


def test_a_disk_that_is_full_is_named() -> None:
    text = (
        "An error occurred while calling o741.parquet.\n"
        ": org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/data/full/x. "
        "SQLSTATE: 58030\n\tat org.apache.spark.sql.errors.Q.taskFailed(Q.scala:801)\n"
        "\tSuppressed: org.apache.spark.util.Utils$Original: Full stacktrace of original caller\n"
        "\t\tat org.apache.spark.Writer.write(Writer.scala:100)\n"
        "\tCaused by: java.io.IOException: not this one\n\t\t... 14 more\n"
        "Caused by: org.apache.parquet.util.AutoCloseables$ParquetCloseResourceException: Unable to close resource\n"
        "\tat org.apache.parquet.util.AutoCloseables.close(AutoCloseables.java:64)\n\t... 15 more\n"
        "Caused by: org.apache.hadoop.fs.FSError: java.io.IOException: No space left on device\n\t... 33 more\n"
        "Caused by: java.io.IOException: No space left on device\n\tat java.base/java.io.Stream.writeBytes(Native)\n"
    )
    assert reason(PySparkException(text)) == (
        "[TASK_WRITE_FAILED] Task failed while writing rows to /data/full/x: No space left on device"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Caused by: java.io.EOFException\n\tat a.B.c(D.java:1)", "unexpected end of input (EOFException)"),
        ("Caused by: java.lang.NullPointerException", "NullPointerException"),
        ("Caused by: java.nio.file.AccessDeniedException: /a b/c", "AccessDeniedException: /a b/c"),
        ("Caused by: java.net.UnknownHostException: bucket.s3", "UnknownHostException: bucket.s3"),
        ("Caused by: java.lang.OutOfMemoryError: Java heap space", "OutOfMemoryError: Java heap space"),
        ("Caused by: a.B: c.D$E: the very cause. SQLSTATE: KD001\nand more", "the very cause"),
        ("Caused by: a.B: the cause\nCaused by: a.C: \n\tat x", "C"),
        ("\tCaused by: a.B: of a suppressed error", None),
        ("Caused by: a.B: It failed", None),
    ],
)
def test_a_cause_is_said_without_its_class_unless_it_says_nothing_without(text: str, said: str | None) -> None:
    error = PySparkException(f": org.apache.spark.SparkException: It failed at last.\n\tat a.B.c(D.scala:1)\n{text}\n")
    assert reason(error) == ("It failed at last" if said is None else f"It failed at last: {said}")


def test_a_cause_is_not_cut_for_a_long_path() -> None:
    path = "/".join(["folder"] * 200)
    text = f": a.B: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///{path}.\n\tat a\n"
    said = reason(PySparkException(f"{text}Caused by: a.C: cut off"))
    assert len(said) <= WIDTH
    assert said.endswith("…: cut off")


def test_an_error_of_spark_connect_has_its_causes_in_a_text_beside_it() -> None:
    error = PySparkException("[FAILED_READ_FILE.NO_HINT] Encountered error while reading file s3://b/a.gz.")
    error._stacktrace = (
        "org.apache.spark.SparkException\n\tat a.B(C.scala:1)\nCaused by: java.io.EOFException: too short\n\tat d"  # type: ignore[attr-defined]
    )
    assert reason(error) == "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file s3://b/a.gz: too short"
    refused = AnalysisException("[DELTA_TABLE_NOT_FOUND] There is none.\nsecond line")
    refused._stacktrace = "a.B\n\tat a\nCaused by: a.C: an inner matter"  # type: ignore[attr-defined]
    assert reason(refused) == "[DELTA_TABLE_NOT_FOUND] There is none"


def test_an_error_that_cannot_even_be_shown_is_named_by_its_kind() -> None:
    class GoneJvmError(PySparkException):
        def __str__(self) -> str:
            raise ConnectionRefusedError

    assert reason(GoneJvmError("x")) == "GoneJvmError"
    assert "JVM has ended" in reason(PySparkException("An error occurred while calling o56.count"))


def test_a_mistake_of_ours_is_no_reason() -> None:
    with pytest.raises(ZeroDivisionError), spark_reasons("x"):
        raise ZeroDivisionError
