"""The SQL statements of the jobs: one a file in jobs/sql, read from wherever the package lies."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run_statement(
    spark: SparkSession, name: str, values: dict[str, Any] | None = None, **inputs: DataFrame
) -> DataFrame:
    """The result of jobs/sql/<name>.sql: values bound to its :markers, DataFrames to its {braces}."""
    return spark.sql(statement(name), args=values or {}, **inputs)


def statement(name: str) -> str:
    """The text of jobs/sql/<name>.sql, also from inside a wheel or zip."""
    return files("jobs").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
