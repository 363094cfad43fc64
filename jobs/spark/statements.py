"""The SQL statements of the jobs: each a file in the sql folder of its package, also inside a wheel or zip."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


def run_statement(
    spark: SparkSession, name: str, values: dict[str, Any] | None = None, **inputs: DataFrame | str
) -> DataFrame:
    """The result of jobs/PACKAGE/sql/NAME.sql, where name is PACKAGE/NAME.

    values are bound to its :markers, DataFrames and literal text to its {braces}.
    """
    if values:
        _let_delta_bind(spark)
    return spark.sql(statement(name), args=values or {}, **inputs)


def local_rows(spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: str) -> DataFrame:
    """A few rows of the driver as a DataFrame; schema as "name type, name type".

    Reading them needs no task. From a list, Spark would make an RDD and start a Python worker (0.6 s instead of 0.3 s).
    """
    import pyarrow as pa
    from pyspark.sql.types import StructType

    types = StructType.fromDDL(schema)
    assert isinstance(types, StructType)
    columns = {name: [row[index] for row in rows] for index, name in enumerate(types.names)}
    return local_table(spark, pa.table(columns), types)


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


def _let_delta_bind(spark: SparkSession) -> None:
    """Have Spark bind values itself: Spark 4.1 hands them to Delta's parser, which drops them (delta-io/delta#7640)."""
    from pyspark.errors import PySparkException

    try:
        spark.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    except PySparkException:
        # Platforms that do not allow this setting bind values with their own parser.
        return
