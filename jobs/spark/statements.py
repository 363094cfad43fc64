"""The SQL statements of the jobs: each in a file of its owner's sql folder, read from wherever the package lies."""

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
    """The result of jobs/OWNER/sql/NAME.sql, called OWNER/NAME.

    values are bound to its :markers, DataFrames and literal text to its {braces}.
    """
    if values:
        _let_delta_bind(spark)
    return spark.sql(statement(name), args=values or {}, **inputs)


def local_rows(spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: str) -> DataFrame:
    """A few rows that lie in the driver; schema as "name type, name type".

    Read without a task: of a list Spark makes an RDD, for which it starts a Python worker (0.6 s a time, not 0.3).
    """
    import pyarrow as pa
    from pyspark.sql.types import StructType

    types = StructType.fromDDL(schema)
    assert isinstance(types, StructType)
    columns = {name: [row[index] for row in rows] for index, name in enumerate(types.names)}
    return local_table(spark, pa.table(columns), types)


def local_table(spark: SparkSession, table: pa.Table, types: StructType) -> DataFrame:
    """An Arrow table of a few rows as a DataFrame that lies in the driver."""
    # 0 stands for no limit, and Spark 4.1 hands it to Arrow, which takes no such thing.
    if int(spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") or 1) < 1:
        return spark.createDataFrame([tuple(row.values()) for row in table.to_pylist()], types)
    return spark.createDataFrame(table, types)


def statement(name: str) -> str:
    """The text of jobs/OWNER/sql/NAME.sql, called OWNER/NAME, also from inside a wheel or zip."""
    owner, _, file = name.partition("/")
    return files("jobs").joinpath(owner, "sql", f"{file}.sql").read_text(encoding="utf-8")


def _let_delta_bind(spark: SparkSession) -> None:
    """Spark 4.1 hands values to the parser, and Delta's parser drops them: delta-io/delta#7640."""
    from pyspark.errors import PySparkException

    try:
        spark.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    except PySparkException:
        # A platform that does not let it be set binds values with its own parser.
        return
