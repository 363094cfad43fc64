"""Tables as they were at one version, so that what was made of them can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.spark.spark_errors import spark_reasons
from jobs.spark.table_names import find_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def newest_version(spark: SparkSession, identifier: str) -> int | None:
    """The number of the table's newest version; None for a view, and for a table that is not Delta's.

    identifier: quoted SQL, of a table that exists.
    """
    from pyspark.errors import PySparkException

    try:
        return int(spark.sql(f"describe history {identifier} limit 1").collect()[0]["version"])
    except (PySparkException, IndexError):
        return None


def read_version(spark: SparkSession, identifier: str, version: int | None) -> DataFrame:
    """The table as it was at that version, whatever is written to it meanwhile; as it is now where that is None."""
    if version is None:
        return spark.table(identifier)
    # The identifier is quoted, and the version is a number.
    return spark.sql(f"select * from {identifier} version as of {version:d}")  # noqa: S608


def read_at_version(spark: SparkSession, identifier: str) -> tuple[DataFrame, int | None]:
    """The table at its newest version, and that version: read_version of newest_version."""
    version = newest_version(spark, identifier)
    return read_version(spark, identifier, version), version


def find_at_newest_version(spark: SparkSession, identifier: str) -> tuple[DataFrame | None, int | None]:
    """find_table, at the table's newest version, and that version, if it has one."""
    with spark_reasons(f"table {identifier} cannot be read"):
        version = newest_version(spark, identifier)
        # Without one it may be a view, or of another format, or missing.
        table = find_table(spark, identifier) if version is None else read_version(spark, identifier, version)
    return table, version
