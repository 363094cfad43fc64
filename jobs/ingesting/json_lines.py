"""Documents from JSON lines: one object per line, values as they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from jobs.ingesting.columns import FILE, InputColumns, column_path, input_rows
from jobs.ingesting.files import InputFiles, escape_globs, file_name
from jobs.ingesting.json_values import OPTIONS, in_object, repaired, value_of, what_is_wrong, with_numbers

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SHOWN_BYTES = 80
BOM = "\ufeff"
SPACES = " \t\r"


@dataclass(frozen=True)
class JsonLines:
    """Lines of files: columns value, FILE, block and line, whose order within a file is that of (block, line).

    lines: of all files. of_file: reads those of one file. A block is a small file, or a part of a large one.
    folder_keys: keys of the key=value folders that the files lie in.
    """

    lines: DataFrame
    of_file: Callable[[str], DataFrame]
    folder_keys: Sequence[str] = ()

    def documents(self, columns: InputColumns) -> DataFrame:
        """One document per line: see input_rows. A line that cannot be read has a problem; an empty line is skipped."""
        parsed = with_numbers(_parsed(self.lines, columns).where("not is_blank"), columns)
        # A folder says no document's text.
        keys = {name: () if name == columns.text else self.folder_keys for name in columns.named()}
        values = {name: value_of(name, folder_keys) for name, folder_keys in keys.items()}
        parsed = parsed.withColumn("what", what_is_wrong(columns))
        start = F.substring(F.col("value").cast("binary"), 1, SHOWN_BYTES)
        problem = F.when(
            F.col("what").isNotNull(),
            F.struct(F.col(FILE).alias("file"), "block", "line", "what", start.alias("start")),
        )
        return input_rows(
            parsed,
            columns,
            values=values,
            default_source=F.col(FILE),
            was_repaired=F.col("was_repaired"),
            problem=problem,
        )

    def find_line(self, file: str, columns: InputColumns) -> int | None:
        """The number of the file's first line that has a problem, from 1; None where none has. Reads the file once."""
        is_wrong = ~F.col("is_blank") & what_is_wrong(columns).isNotNull()
        # A large file is read in blocks, of which the lines of each are numbered by themselves.
        blocks = (
            with_numbers(_parsed(self.of_file(file), columns), columns)
            .groupBy("block")
            .agg(
                F.min("line").alias("first"),
                F.count("*").alias("num_lines"),
                F.min(F.when(is_wrong, F.col("line"))).alias("bad"),
            )
            .collect()
        )
        before = 0
        for row in sorted(blocks, key=lambda row: row["block"]):
            if row["bad"] is not None:
                return int(before + row["bad"] - row["first"] + 1)
            before += row["num_lines"]
        return None

    def existing_keys(self, parents: Sequence[str] = ()) -> list[str]:
        """The keys of the lines' objects, sorted; with parents, the keys of the objects that this path leads to."""
        inner = repaired(F.col("value"))
        for parent in parents:
            inner = in_object(inner, parent)
        keys = self.lines.select(F.explode(F.json_object_keys(inner)).alias("key")).distinct().limit(1000).collect()
        return sorted(row["key"] for row in keys)


def read_json_lines(spark: SparkSession, files: InputFiles) -> JsonLines:
    """The lines of the files, as Spark's text source reads them."""
    return JsonLines(
        _text_lines(spark, files.load_paths()),
        lambda file: _text_lines(spark, [escape_globs(file)]),
        files.folder_keys(),
    )


def _text_lines(spark: SparkSession, paths: list[str]) -> DataFrame:
    lines = spark.read.option("recursiveFileLookup", "true").text(paths)
    return lines.select(
        "value",
        file_name(lines).alias(FILE),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("line"),
    )


def _parsed(lines: DataFrame, columns: InputColumns) -> DataFrame:
    """Each line: file and place there; value as it stands, json as repaired; object, the wanted keys as text."""
    line = F.trim(F.ltrim(repaired(F.col("value")), F.lit(BOM)), F.lit(SPACES))
    keys = dict.fromkeys(key for name in columns.named() for key in (name, column_path(name)[0]))
    wanted = ArrayType(StructType([StructField(key, StringType()) for key in keys]))
    # Spark reads the first object of a line and drops what follows it; before another one in brackets, that is an
    # error, or there are more or fewer than two.
    objects = F.from_json(F.concat(F.lit("["), F.col("json"), F.lit(",{}]")), wanted, OPTIONS)
    is_bad = (F.size("objects") != 2) | F.get("objects", F.lit(0)).isNull() | ~F.endswith("json", F.lit("}"))
    return (
        lines.select(
            "value",
            line.alias("json"),
            FILE,
            "block",
            "line",
            (repaired(F.col("value")) != F.col("value")).alias("was_repaired"),
        )
        .withColumn("objects", objects)
        .select(
            "value",
            "json",
            FILE,
            "block",
            "line",
            "was_repaired",
            (F.col("json") == "").alias("is_blank"),
            F.coalesce(is_bad, F.lit(True)).alias("is_bad"),
            F.get("objects", F.lit(0)).alias("object"),
        )
    )
