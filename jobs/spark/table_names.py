"""Names of tables as people write them and as quoted SQL, and which tables there are."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import schemas
from jobs.spark.spark_errors import spark_reasons
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_HOSTILE = re.compile(r"[\"'`;\x00-\x1f\x7f]")
NAME = re.compile(r"[\w-]+\Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_NO_TABLE = {
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_TABLE_NOT_FOUND",
    "PATH_NOT_FOUND",
    "SCHEMA_NOT_FOUND",
    "TABLE_OR_VIEW_NOT_FOUND",
}


def quote_table_name(text: str) -> str:
    """A table that a person named, as quoted SQL: a name of up to three parts, or a Delta table's path.

    Reads delta.`/path` too. Raises ValueError for anything that could be read as SQL.
    """
    quoted_path = re.fullmatch(r"delta\.`([^`]+)`", text, re.IGNORECASE)
    path = quoted_path.group(1) if quoted_path else text
    refuse_hostile(path, "the table name")
    if quoted_path or "/" in path:
        return f"delta.{quote_name(absolute_path(path))}"
    parts = path.split(".")
    if len(parts) > 3 or not all(NAME.match(part) for part in parts):
        raise ValueError(
            f"{text!r} is no table name; write table, schema.table or catalog.schema.table, "
            "or the path of a Delta table, with a slash in it"
        )
    return ".".join(quote_name(part) for part in parts)


def find_table(spark: SparkSession, identifier: str) -> DataFrame | None:
    """The table under the quoted identifier, None where there is none; ValueError where it cannot be read."""
    from pyspark.errors import AnalysisException

    with spark_reasons(f"table {identifier} cannot be read"):
        try:
            table = spark.table(identifier)
            _: Any = table.schema  # Spark Connect looks the table up no earlier.
        except AnalysisException as error:
            if error.getCondition() in _NO_TABLE:
                return None
            raise
        return table


def size_in_bytes(spark: SparkSession, identifier: str) -> int | None:
    """The size of a Delta table's files; None for a view, and for a table of another format."""
    from pyspark.errors import PySparkException

    try:
        size: int | None = spark.sql(f"describe detail {identifier}").collect()[0]["sizeInBytes"]
    except (PySparkException, IndexError):
        return None
    return size


def absolute_path(path: str) -> str:
    """The path from the root, ~ resolved; a URI as it is."""
    if _URI.match(path):
        return path.rstrip("/")
    return os.path.abspath(os.path.expanduser(path))


def known_tables() -> list[str]:
    """The names of the tables that have a contract in schemas/."""
    names = [module.name for module in pkgutil.iter_modules(schemas.__path__)]
    return [name for name in names if hasattr(importlib.import_module(f"schemas.{name}"), "TABLE")]


def refuse_hostile(text: str, what: str) -> None:
    """Raise ValueError for an empty name, and for one with quotes, semicolons or control characters."""
    hostile = _HOSTILE.search(text)
    if hostile or not text.strip():
        bad = f"holds {hostile.group()!r}" if hostile else "is empty"
        raise ValueError(f"{what} is {text!r}, which {bad}; no quotes, semicolons or control characters here")
