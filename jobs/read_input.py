"""What ingest reads: files of documents, or a Delta table, as one DataFrame of the same four columns."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, AtomicType, BinaryType, StringType, StructField, StructType

from jobs.display import printable
from jobs.tables import absolute_path, find_table, quote_table_name, spark_reasons
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

FORMAT_OF_EXTENSION = {
    "parquet": "parquet",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
    "txt": "text",
    "text": "text",
    "md": "text",
    "rst": "text",
}
COMPRESSED = (".gz", ".zst")
# Beside the input's own columns, so by names that none of those has.
FILE, REPAIRED = "__file", "__was_repaired"
# JSON can write half of a surrogate pair, UTF-8 cannot: Spark would store a question mark. After an even number of
# backslashes only: an odd one more makes the escape plain text.
LONE_HIGH_SURROGATE = r"(?<!\\)((?:\\\\)*+)\\u[dD][89abAB]\p{XDigit}{2}(?!\\u[dD][c-fC-F]\p{XDigit}{2})"
LONE_LOW_SURROGATE = r"(?<!\\u[dD][89abAB]\p{XDigit}{2})(?<!\\)((?:\\\\)*+)\\u[dD][c-fC-F]\p{XDigit}{2}"


@dataclass(frozen=True)
class InputColumns:
    """Which column of the input holds what; None where the input has none, a fixed domain where it is one."""

    text: str = "text"
    doc_id: str | None = None
    domain: str | None = None
    source: str | None = None
    fixed_domain: str | None = None

    def named(self) -> list[str]:
        """The columns that the input must have."""
        return [name for name in (self.text, self.doc_id, self.domain, self.source) if name is not None]


def detect_format(spark: SparkSession, path: str) -> str:
    """parquet, jsonl, text or delta, by the path's _delta_log or its files' extensions.

    Raises ValueError where there is no file, or they are of several formats or of none known here.
    """
    path = absolute_path(path)
    with spark_reasons(f"--input {path} cannot be read; for a table by its name, add --format delta"):
        if _is_delta_table(spark, path):
            return "delta"
        extensions = Counter(_extension(name) for name in list_files(spark, path))
    formats = {FORMAT_OF_EXTENSION.get(extension) for extension in extensions}
    if len(formats) == 1 and (found := formats.pop()) is not None:
        return found
    listed = ", ".join(f"{count} .{extension}" for extension, count in extensions.most_common(8)) or "no file"
    hidden = count_hidden(path)
    passed_over = (
        f", and {hidden:,} whose names, or folders' names, begin with _ or a dot and are not read" if hidden else ""
    )
    raise ValueError(
        f"--input {path} holds {listed}{passed_over}; say how to read them with --format parquet|jsonl|text"
    )


def read_input(spark: SparkSession, path: str, file_format: str, columns: InputColumns) -> DataFrame:
    """One row for each document with doc_id, domain, text, source, all strings, and was_repaired.

    Nothing is left out. doc_id is null in every row where the input has no such column; was_repaired says that the
    input held what is no Unicode text. Raises ValueError for columns that are not there, and for lines that are no
    JSON objects.
    """
    if file_format == "delta":
        table = quote_table_name(path)
        with spark_reasons(f"--input {path} cannot be read as a Delta table"):
            rows = spark.table(table)
        return _choose(rows, columns, F.lit(path))
    escaped = _without_globs(absolute_path(path))
    with spark_reasons(f"--input {path} cannot be read as {file_format}"):
        if file_format == "parquet":
            return _choose(_read_parquet(spark, path, escaped), columns, _file_name())
        if file_format == "jsonl":
            return _choose(_read_json_lines(spark, escaped, columns), columns, F.col(FILE))
        return _choose(_read_text_files(spark, escaped), columns, F.col("path"))


def list_files(spark: SparkSession, path: str) -> list[str]:
    """Every file that the path, folder or pattern names, empty ones too, as URIs; by Spark, so from any storage."""
    return _binary_files(spark, _without_globs(path)).inputFiles()


def _binary_files(spark: SparkSession, escaped: str) -> DataFrame:
    return spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(escaped)


def _read_parquet(spark: SparkSession, path: str, escaped: str) -> DataFrame:
    """All files of the folder and those below it; with the columns that folders such as lang=en name."""
    # Spark reads either what lies in such folders or what lies beside them, and nothing of plain folders.
    depth = len(_folders(absolute_path(path)))
    files = list_files(spark, absolute_path(path))
    is_parted = {any("=" in folder for folder in _folders(file)[depth:-1]) for file in files}
    if len(is_parted) > 1:
        raise ValueError(
            f"--input {path} has files in folders such as lang=en and others beside these; Spark would not read all of "
            "them: name one kind at a time"
        )
    reader = spark.read.option("mergeSchema", "true")
    return (reader if True in is_parted else reader.option("recursiveFileLookup", "true")).parquet(escaped)


def _folders(path: str) -> list[str]:
    return [part for part in re.sub("^[A-Za-z][A-Za-z0-9+.-]*:/+", "/", path).split("/") if part]


def count_hidden(path: str) -> int:
    """Files in a folder of this machine that Spark passes over: their name, or a folder's, begins with _ or a dot."""
    root, count = absolute_path(path), 0
    for folder, _, names in os.walk(root):
        below = _folders(folder)[len(_folders(root)) :]
        is_hidden = any(_is_hidden(part) for part in below)
        # Those that Spark itself writes beside its files hold no document.
        count += sum((is_hidden or _is_hidden(name)) and not name.endswith((".crc", "_SUCCESS")) for name in names)
    return count


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_")) and "=" not in name


def _read_json_lines(spark: SparkSession, path: str, columns: InputColumns) -> DataFrame:
    """The wanted keys of each JSON object as strings, and the two beside them; a key that a line lacks is null."""
    lines = spark.read.option("recursiveFileLookup", "true").text(path)
    line = F.trim(F.ltrim(_repaired(F.col("value")), F.lit("\ufeff")), F.lit(" \t\r"))
    wanted = ArrayType(StructType([StructField(name, StringType()) for name in dict.fromkeys(columns.named())]))
    # Spark reads the first object of a line and drops what follows it; inside brackets, that is an error or a
    # second element.
    # Of a longer string than that, Jackson would not say that it is long, but that the line is no JSON.
    options = {"allowSingleQuotes": "false", "maxStringLen": str(2**31 - 1)}
    objects = F.from_json(F.concat(F.lit("["), line, F.lit("]")), wanted, options)
    is_blank = F.trim(F.ltrim("value", F.lit("\ufeff")), F.lit(" \t\r")) == ""
    parsed = lines.where(~is_blank).select(
        "value",
        _file_name().alias(FILE),
        (_repaired(F.col("value")) != F.col("value")).alias(REPAIRED),
        F.get(objects, F.lit(0)).alias("object"),
        ((F.size(objects) != 1) | F.get(objects, F.lit(0)).isNull() | ~line.endswith("}")).alias("is_bad"),
    )
    parsed = parsed.withColumn("is_bad", F.coalesce("is_bad", F.lit(True)))
    _require_json_objects(parsed, columns)
    return parsed.select(FILE, REPAIRED, "object.*")


def _repaired(line: Column) -> Column:
    """The line of JSON with U+FFFD for each byte that is no UTF-8, and for each half of a surrogate pair."""
    valid = F.make_valid_utf8(line)
    without_halves = valid
    for half in (LONE_HIGH_SURROGATE, LONE_LOW_SURROGATE):
        without_halves = F.regexp_replace(without_halves, half, r"$1\\ufffd")
    return F.when(valid.rlike(r"\\u[dD][89a-fA-F]"), without_halves).otherwise(valid)


def _require_json_objects(parsed: DataFrame, columns: InputColumns) -> None:
    names = dict.fromkeys(columns.named())
    first_bad = F.min(F.when(F.col("is_bad"), F.struct(FILE, F.substring("value", 1, 80).alias("start"))))
    found = parsed.agg(
        F.count("*").alias("num_lines"),
        F.count_if("is_bad").alias("num_bad"),
        first_bad.alias("first_bad"),
        *[F.count(F.col("object").getField(name)).alias(f"has_{i}") for i, name in enumerate(names)],
    ).collect()[0]
    if found["num_bad"]:
        path, start = found["first_bad"]
        raise ValueError(
            f"{found['num_bad']:,} of {found['num_lines']:,} lines are not one JSON object each, such as one of {path} "
            f"that starts with {printable(start, 60)!r}; nothing was written: correct them, or leave them out"
        )
    absent = [name for i, name in enumerate(names) if found["num_lines"] and not found[f"has_{i}"]]
    if absent:
        keys = parsed.select(F.explode(F.json_object_keys("value")).alias("key")).distinct().limit(1000).collect()
        existing = sorted(row["key"] for row in keys)
        for name in absent:
            if name not in existing:
                raise ValueError(_no_column(name, existing))


def _read_text_files(spark: SparkSession, path: str) -> DataFrame:
    """One row a file with path and text. Spark passes over files of no bytes: they are documents too."""
    texts = spark.read.option("recursiveFileLookup", "true").text(path, wholetext=True)
    texts = texts.select(_file_name().alias("path"), F.col("value").alias("text"))
    files = _binary_files(spark, path)
    seen = {_same_slashes(row[0]) for row in files.select("_metadata.file_path").collect()}
    empty = [(name,) for name in files.inputFiles() if _same_slashes(name) not in seen]
    if not empty:
        return texts
    names = spark.createDataFrame(empty, "uri string")
    return texts.union(names.select(_readable_path(F.col("uri")), F.lit("").alias("text")))


def _choose(rows: DataFrame, columns: InputColumns, default_source: Column) -> DataFrame:
    text = _column(rows, columns.text)
    found = rows.select(text).schema[0].dataType
    if not isinstance(found, (StringType, BinaryType)):
        raise ValueError(f"column {columns.text!r} is {found.simpleString()}, but documents are strings or binary")
    repaired = F.col(REPAIRED) if REPAIRED in rows.columns else ~F.is_valid_utf8(text.cast("string"))
    domain = F.lit(columns.fixed_domain) if columns.domain is None else _value(rows, columns.domain)
    return rows.select(
        (F.lit(None) if columns.doc_id is None else _value(rows, columns.doc_id)).cast("string").alias("doc_id"),
        domain.cast("string").alias("domain"),
        text.cast("string").alias("text"),
        (default_source if columns.source is None else _value(rows, columns.source)).cast("string").alias("source"),
        F.coalesce(repaired, F.lit(False)).alias("was_repaired"),
    )


def _value(rows: DataFrame, name: str) -> Column:
    column = _column(rows, name)
    found = rows.select(column).schema[0].dataType
    if not isinstance(found, AtomicType):
        raise ValueError(f"column {name!r} is {found.simpleString()}, but must hold one value: a string or number")
    return column


def _column(rows: DataFrame, name: str) -> Column:
    """The column of that name, in any case; or the field of a struct, as in meta.language."""
    from pyspark.errors import PySparkException

    if name in rows.columns:
        return F.col(quote_name(name))
    try:
        column = F.col(name)
        rows.select(column)
    except PySparkException:
        raise ValueError(_no_column(name, rows.columns)) from None
    return column


def _no_column(name: str, existing: list[str]) -> str:
    close = difflib.get_close_matches(name, existing, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]}?)" if close else ""
    listed = ", ".join(printable(column) for column in existing[:50]) or "none"
    return f"the input has no column {name!r}{hint}; it has: {listed}"


def _is_delta_table(spark: SparkSession, path: str) -> bool:
    if os.path.exists(path):
        return os.path.isdir(f"{path}/_delta_log")
    return "*" not in path and find_table(spark, quote_table_name(path)) is not None


def _extension(name: str) -> str:
    stem = name.rsplit("/", 1)[-1].lower()
    for suffix in COMPRESSED:
        stem = stem.removesuffix(suffix)
    return stem.rsplit(".", 1)[1] if "." in stem else "(none)"


def _without_globs(path: str) -> str:
    """The path as Spark reads it: a pattern, unless it is the very name of something here."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path) if os.path.exists(path) else path


def _file_name() -> Column:
    return _readable_path(F.col("_metadata.file_path"))


def _readable_path(uri: Column) -> Column:
    """The path without percent signs, and without file: before it; a plus stays a plus."""
    return F.regexp_replace(F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B"))), "^file:/+", "/")


def _same_slashes(uri: str) -> str:
    return re.sub("^([a-z0-9]+:)/+", r"\1/", uri)
