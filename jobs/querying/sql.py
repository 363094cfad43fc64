"""Stage sql: a query over the namespace's tables by their bare names, shown as a table or as JSON lines."""

from __future__ import annotations

import json
import re
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from jobs.settings.stage import StageSettings
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.spark.namespace import Namespace

ROWS_SHOWN = 50
CELL_WIDTH = 60


class SqlSettings(StageSettings):
    """Run Spark SQL over the namespace's tables, each under its bare name.

    attention-influence sql "select domain, count(*) as n from corpus group by domain order by n desc"
    """

    query: CliPositionalArg[str] = Field(description="one Spark SQL statement, in quotes")
    limit: int | None = Field(None, ge=1, description=f"rows to show; {ROWS_SHOWN} unless given, and all with --json")
    json_output: bool = Field(False, alias="json", description="print one JSON object per row, each on its line")


def run(settings: SqlSettings, spark: SparkSession) -> None:
    """Print what the query returns; ValueError, on one line, for a query that Spark does not take."""
    from jobs.spark.namespace import Namespace
    from jobs.spark.spark_errors import is_spark_error, reason

    namespace = Namespace.parse(settings.namespace)
    names = [name for name in namespace.table_names(spark) if "-" not in name]
    words = set(re.findall(r"\w+", settings.query.lower()))
    registered = set(_register(spark, namespace, names, words=None if "show" in words else words))
    try:
        rows = spark.sql(settings.query)
        if settings.json_output:
            _print_json_lines(rows if settings.limit is None else rows.limit(settings.limit))
        else:
            limit = settings.limit or ROWS_SHOWN
            _print_table(rows.columns, rows.limit(limit + 1).collect(), limit)
    except Exception as error:
        if not is_spark_error(error):
            raise
        message = reason(error)
        if "TABLE_OR_VIEW_NOT_FOUND" in message:
            registered |= set(_register(spark, namespace, names))
            unreadable = [name for name in names if name not in registered]
            message += f"; namespace {namespace} has: {', '.join(sorted(registered)) or 'no tables'}"
            message += f"; unreadable: {', '.join(unreadable)}" if unreadable else ""
        raise ValueError(message) from error
    finally:
        for name in registered:
            spark.catalog.dropTempView(name)


def _register(
    spark: SparkSession, namespace: Namespace, names: list[str], *, words: set[str] | None = None
) -> list[str]:
    """Make each table, and each view of jobs.corpus.views, a temporary view under its bare name; returns their names.

    words: those of the query in small letters: what it does not mention is not opened. Left out are tables that cannot
    be read, such as a view of a table that is gone.
    """
    from jobs.corpus.views import VIEWS, lacks_hashes, with_inputs, with_views
    from jobs.spark.spark_errors import spark_reasons
    from schemas import corpus

    wanted = {name.lower() for name in names} | VIEWS.keys() if words is None else with_inputs(words)
    opened = {name: _open(spark, namespace.identifier(name)) for name in names if name.lower() in wanted}
    with spark_reasons(f"namespace {namespace} cannot be read"):
        readable = {name: table for name, table in opened.items() if table is not None}
        of_views = dict(readable)
        if "corpus" in readable and "live_texts" in wanted and lacks_hashes(readable["corpus"]):
            # Views would be empty. Whoever asks for one is told why; a query of other tables goes on without them.
            if words is not None:
                namespace.read(spark, corpus.TABLE)
            of_views.pop("corpus")
        queryable = readable | with_views(spark, namespace, of_views, has_corpus="corpus" in names, wanted=wanted)
    for name, table in queryable.items():
        # Unquoted, a name of digits would be a number.
        table.createOrReplaceTempView(quote_name(name))
    return sorted(queryable)


def _open(spark: SparkSession, identifier: str) -> DataFrame | None:
    """The table, None where it cannot be read."""
    from jobs.spark.table_names import find_table

    try:
        return find_table(spark, identifier)
    except ValueError:
        return None


def _print_json_lines(rows: DataFrame) -> None:
    """Spark makes the JSON, since it knows every type. Rows are fetched one by one, since a result may be large."""
    from pyspark.sql import functions as F

    as_json = rows.select(F.to_json(F.struct("*"), {"ignoreNullFields": "false"}).alias("line"))
    for row in as_json.toLocalIterator():
        print(row["line"])


def _print_table(columns: list[str], rows: list[Row], limit: int) -> None:
    from jobs.terminal.display import plain_table, printable

    header = [printable(name, CELL_WIDTH) for name in columns]
    cells = [[printable(show(value), CELL_WIDTH) for value in row] for row in rows[:limit]]
    if not header:
        return
    if sys.stdout.isatty():
        _print_rich(header, cells)
    else:
        print(plain_table(header, cells))
    if len(rows) > limit:
        print(f"(the first {limit} rows; --limit N shows more, --json all)", file=sys.stderr)


def _print_rich(header: list[str], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in header:
        table.add_column(Text(name), overflow="fold")
    for row in cells:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)


def show(value: Any) -> str:
    """A cell's value as a person reads it: null, numbers with six digits, JSON for what is nested."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (str, bool, int, Decimal, date, datetime)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return json.dumps(_plain(value), ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """The value with each Row in it as a mapping."""
    if hasattr(value, "asDict"):
        return {key: _plain(item) for key, item in value.asDict().items()}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
