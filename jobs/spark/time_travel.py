"""Tables as they were at one version, so that what was made of them can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_at_version(spark: SparkSession, identifier: str) -> tuple[DataFrame, int | None]:
    """The table at its newest version, whatever is written to it meanwhile, and the version; None if it has none.

    identifier: quoted SQL, of a table that exists.
    """
    from pyspark.errors import PySparkException

    try:
        version = int(spark.sql(f"describe history {identifier} limit 1").collect()[0]["version"])
    except (PySparkException, IndexError):
        return spark.table(identifier), None
    # The identifier is quoted, and the version is a number.
    return spark.sql(f"select * from {identifier} version as of {version}"), version  # noqa: S608
