"""The SQL statements of the jobs: one a file in jobs/sql, read from wherever the package lies."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run_statement(
    spark: SparkSession, name: str, values: dict[str, Any] | None = None, **inputs: DataFrame | str
) -> DataFrame:
    """The result of jobs/sql/<name>.sql: values bound to its :markers, DataFrames and literal text to its {braces}."""
    if values:
        _let_delta_bind(spark)
    return spark.sql(statement(name), args=values or {}, **inputs)


def statement(name: str) -> str:
    """The text of jobs/sql/<name>.sql, also from inside a wheel or zip."""
    return files("jobs").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def _let_delta_bind(spark: SparkSession) -> None:
    """Spark 4.1 hands values to the parser, and Delta's parser drops them: delta-io/delta#7640."""
    from pyspark.errors import PySparkException

    try:
        spark.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    except PySparkException:
        # A platform that does not let it be set binds values with its own parser.
        return
