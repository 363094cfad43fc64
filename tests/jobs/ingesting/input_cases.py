"""Inputs as ingest reads them."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingesting.columns import InputColumns
from jobs.ingesting.read_input import read_input
from jobs.spark.spark_errors import spark_reasons


def read_documents(spark: SparkSession, path: str, file_format: str, columns: InputColumns) -> DataFrame:
    """The input's documents; raises what ingest raises for those that cannot be read."""
    found = read_input(spark, path, file_format, columns)
    problem = F.col("problem")
    with spark_reasons(f"--input {path} cannot be read"):
        totals: list[Any] = found.documents.agg(F.count("*"), F.count(problem), F.min(problem)).collect()
    found.require_readable(*totals[0])
    names = {columns.text: "text", columns.doc_id: "doc_id", columns.domain: "domain", columns.source: "source"}
    has = found.documents.agg(*[F.count(F.col(column)).alias(column) for column in names.values()]).collect()[0]
    if totals[0][0]:
        found.require_columns({name: bool(has[column]) for name, column in names.items() if name})
    return found.documents
