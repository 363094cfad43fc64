"""Documents from plain text, one per file. A file that is not UTF-8 text is refused by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from jobs.ingesting.columns import FILE, InputColumns, input_rows, no_column, same_name
from jobs.ingesting.files import InputFiles, binary_files, file_name, folder_value, readable_path
from jobs.spark.statements import local_rows
from udfs.file_kinds import BEGINNINGS, LFS, UNMARKED, unmarked_kind

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# A file with this many zero bytes, and this share of them, among its first HEAD_BYTES is not text.
HEAD_BYTES, MIN_ZEROS, MIN_SHARE_OF_ZEROS = 4096, 4, 0.05
UNMARKED_BYTES = 64
BINARY = "a binary file, or text of another encoding than UTF-8; convert it to UTF-8, or leave it out"
BOM = "\ufeff"


def read_text_files(spark: SparkSession, files: InputFiles, columns: InputColumns) -> DataFrame:
    """One document per file: see input_rows. The columns are path, text and what folders such as lang=en name."""
    keys = files.folder_keys()
    values = {}
    for name in dict.fromkeys(columns.named()):
        key = same_name(name, keys)
        if name in ("path", "text"):
            values[name] = F.col(name)
        elif key is not None:
            values[name] = folder_value(F.col(FILE), key)
        else:
            raise no_column(name, ["path", "text", *keys])
    rows = _whole_texts(spark, files).withColumn(FILE, F.col("path"))
    kind = _kind(F.col("text"))
    problem = F.when(
        kind.isNotNull(),
        F.struct(
            F.col(FILE).alias("file"),
            F.lit(0).cast("bigint").alias("block"),
            F.lit(0).cast("bigint").alias("line"),
            F.concat(F.lit("is "), kind).alias("what"),
            F.lit(None).cast("binary").alias("start"),
        ),
    )
    # The byte-order mark names the encoding; it is not part of the text.
    rows = rows.withColumn(
        "text", F.when(F.startswith("text", F.lit(BOM)), F.substr("text", F.lit(2))).otherwise(F.col("text"))
    )
    return input_rows(rows, columns, values=values, default_source=F.col(FILE), problem=problem)


def _whole_texts(spark: SparkSession, files: InputFiles) -> DataFrame:
    """One row per file, with path and text. Spark skips files of no bytes: they are documents too."""
    texts = spark.read.option("recursiveFileLookup", "true").text(files.load_paths(), wholetext=True)
    texts = texts.select(file_name(texts).alias("path"), F.col("value").alias("text"))
    listed = binary_files(spark, *files.load_paths()).select("_metadata.file_path").collect()
    seen = {_same_slashes(row[0]) for row in listed}
    empty = [(name,) for name in files.taken if _same_slashes(name) not in seen]
    if not empty:
        return texts
    names = local_rows(spark, empty, "uri string")
    return texts.union(names.select(readable_path(F.col("uri")), F.lit("").alias("text")))


def _same_slashes(uri: str) -> str:
    return re.sub("^([a-z0-9]+:)/+", r"\1/", uri)


def _kind(text: Column) -> Column:
    """What kind of file it is by its first bytes, if it is not UTF-8 text; else null."""
    head = F.substring(text.cast("binary"), 1, HEAD_BYTES)
    # Some of these marks are letters, with which a text may begin.
    is_text = F.is_valid_utf8(text) & ~text.rlike(r"[\x00-\x08]")
    by_mark = [
        F.when(
            F.startswith(head, F.lit(bytearray(mark))) & ~(is_text & F.lit(mark.isascii() and mark != LFS)), F.lit(kind)
        )
        for mark, kind in BEGINNINGS.items()
    ]
    digits = F.hex(F.substring(head, 1, UNMARKED_BYTES))
    unmarked = [F.when(digits.rlike(pattern), F.lit(unmarked_kind(name))) for name, pattern in UNMARKED.items()]
    num_zeros = F.octet_length(head) - F.octet_length(F.replace(head.cast("string"), F.lit("\0"), F.lit("")))
    is_many = (num_zeros >= MIN_ZEROS) & (num_zeros >= MIN_SHARE_OF_ZEROS * F.octet_length(head))
    # In text of two bytes per character, other scripts give control characters or invalid UTF-8.
    strange = F.regexp_count(F.make_valid_utf8(head.cast("string")), F.lit(r"[\x01-\x08\x0e-\x1a\x{fffd}]"))
    is_strange = (strange >= MIN_ZEROS) & (strange >= MIN_SHARE_OF_ZEROS * F.octet_length(head))
    is_binary = is_many | is_strange
    return F.coalesce(*by_mark, F.when(num_zeros > 0, F.coalesce(*unmarked, F.when(is_binary, F.lit(BINARY)))))
