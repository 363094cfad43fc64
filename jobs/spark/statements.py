"""The SQL statements of the jobs: each a file in the sql folder of its package, also inside a wheel or zip."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jobs.spark.tasks import settings_in_block

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


def run_statement(
    spark: SparkSession, name: str, values: dict[str, Any] | None = None, **inputs: DataFrame | str
) -> DataFrame:
    """The result of jobs/PACKAGE/sql/NAME.sql, where name is PACKAGE/NAME.

    values are bound to its :markers, DataFrames and literal text to its {braces}. An input that is persisted is read,
    not computed anew; so is the result where it is persisted.
    """
    from pyspark.sql import functions as F

    if values:
        _let_delta_bind(spark)
    # PySpark makes a view of each input, and when it drops the view, Spark forgets what is persisted under that plan.
    # The condition makes it another plan, and costs nothing: the optimiser removes it. What is merged into is a table.
    text = statement(name)
    frames = {
        key: value if isinstance(value, str) or f"merge into {{{key}}}" in text else value.where(F.lit(True))
        for key, value in inputs.items()
    }
    with _inlined_steps(spark):
        return spark.sql(text, args=values or {}, **frames)


def local_rows(spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: str | StructType) -> DataFrame:
    """A few rows of the driver as a DataFrame; schema as a table's, or as "name type, name type".

    Reading them needs no task. From a list, Spark would make an RDD and start a Python worker (0.6 s instead of 0.3 s).
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    types = StructType.fromDDL(schema) if isinstance(schema, str) else schema
    assert isinstance(types, StructType)
    columns = {name: [row[index] for row in rows] for index, name in enumerate(types.names)}
    try:
        table = pa.table(columns, to_arrow_schema(types))
    except UnicodeEncodeError:
        # A file's name may be no text; Spark writes what it can of it.
        return spark.createDataFrame(list(rows), types)
    return local_table(spark, table, types)


def local_table(spark: SparkSession, table: pa.Table, types: StructType) -> DataFrame:
    """An Arrow table of a few rows of the driver as a DataFrame."""
    # 0 stands for no limit, but Spark 4.1 hands it to Arrow, which refuses it.
    if int(spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") or 1) < 1:
        return spark.createDataFrame([tuple(row.values()) for row in table.to_pylist()], types)
    return spark.createDataFrame(table, types)


def statement(name: str) -> str:
    """The text of jobs/PACKAGE/sql/NAME.sql, where name is PACKAGE/NAME."""
    package, _, file = name.partition("/")
    return files("jobs").joinpath(package, "sql", f"{file}.sql").read_text(encoding="utf-8")


def _inlined_steps(spark: SparkSession) -> AbstractContextManager[None]:
    """Have Spark put the steps of a statement (its WITH clause) in place while it reads the statement.

    Otherwise they are numbered, each statement's from 0. Inside another statement they get other numbers, and a
    persisted result is not recognised there: it is computed again each time, as where this cannot be set.
    """
    return settings_in_block(spark, {"spark.sql.legacy.ctePrecedencePolicy": "LEGACY"})


def _let_delta_bind(spark: SparkSession) -> None:
    """Have Spark bind values itself: Spark 4.1 hands them to Delta's parser, which drops them (delta-io/delta#7640)."""
    from pyspark.errors import PySparkException

    try:
        spark.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    except PySparkException:
        # Platforms that do not allow this setting bind values with their own parser.
        return
