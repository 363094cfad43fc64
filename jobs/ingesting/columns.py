"""Which column of an input holds what, and the rows that ingest makes of any format."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import AtomicType, BinaryType, StringType

from jobs.terminal.display import printable
from schemas.quoting import quote_name

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# A name that no column of an input has.
FILE = "\u0001file"
# Why a row cannot be read: file, start of its block in the file, line within what Spark reads together, what is wrong,
# and how the row begins. The minimum of several is the first in the first file.
PROBLEM = "struct<file: string, block: bigint, line: bigint, what: string, start: binary>"
_SEGMENT = re.compile(r"(?:`((?:[^`]|``)+)`|([^.`]+))(?:\.|\Z)")


@dataclass(frozen=True)
class InputColumns:
    """Which column of the input holds what, None for no such column; or one domain for all documents."""

    text: str = "text"
    doc_id: str | None = None
    domain: str | None = None
    source: str | None = None
    fixed_domain: str | None = None

    def named(self) -> list[str]:
        """The columns that the input must have."""
        return [name for name in (self.text, self.doc_id, self.domain, self.source) if name is not None]


def column_path(name: str) -> tuple[str, ...]:
    """The names on the way to a field: meta.lang is ("meta", "lang"), `meta.lang` in backticks ("meta.lang",)."""
    parts, position = [], 0
    while position < len(name):
        match = _SEGMENT.match(name, position)
        if match is None:
            return (name,)
        parts.append(match[1].replace("``", "`") if match[1] else match[2])
        position = match.end()
    return tuple(parts) if parts and not name.endswith(".") else (name,)


def same_name(name: str, existing: Iterable[str]) -> str | None:
    """The existing name that is meant: the same one, else the only one that differs just in upper and lower case."""
    names = list(existing)
    if name in names:
        return name
    alike = [other for other in names if other.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def no_column(name: str, existing: Sequence[str]) -> ValueError:
    """The error for a column that the input does not have, with those that it has."""
    close = difflib.get_close_matches(name, existing, n=1, cutoff=0.5)
    hint = f" (did you mean {printable(close[0], 60)}?)" if close else ""
    listed = ", ".join(printable(column, 60) for column in existing[:50]) or "none"
    return ValueError(f"the input has no column {name!r}{hint}; it has: {listed}")


def no_text(name: str, actual_type: str, where: str = "") -> ValueError:
    """The error for a text column of another type."""
    return ValueError(f"column {name!r} is {printable(actual_type, 200)}{where}, but documents are strings or binary")


def no_value(name: str, actual_type: str, where: str = "") -> ValueError:
    """The error for a column that holds several values per document."""
    return ValueError(
        f"column {name!r} is {printable(actual_type, 200)}{where}, but must hold one value: a string or number"
    )


def choose_columns(rows: DataFrame, columns: InputColumns, default_source: Column) -> DataFrame:
    """The documents of a table: see input_rows. Columns are found in any case, and fields of structs (meta.lang).

    Raises ValueError for columns that are not there, a text that is no string, and values that are several.
    """
    text = _column(rows, columns.text)
    data_type = rows.select(text).schema[0].dataType
    if not isinstance(data_type, (StringType, BinaryType)):
        raise no_text(columns.text, data_type.simpleString())
    return input_rows(
        rows,
        columns,
        values={name: text if name == columns.text else _value(rows, name) for name in columns.named()},
        default_source=default_source,
    )


def input_rows(
    rows: DataFrame,
    columns: InputColumns,
    values: dict[str, Column],
    default_source: Column,
    was_repaired: Column | None = None,
    problem: Column | None = None,
) -> DataFrame:
    """One row per document: doc_id, domain, text, source (strings), was_repaired, and problem, null if there is none.

    values: of each named column; was_repaired: whether the input held what is no Unicode text, by default whether the
    text does.
    """
    text = values[columns.text].cast("string")
    domain = F.lit(columns.fixed_domain) if columns.domain is None else values[columns.domain]
    repaired = ~F.is_valid_utf8(text) if was_repaired is None else was_repaired
    return rows.select(
        (F.lit(None) if columns.doc_id is None else values[columns.doc_id]).cast("string").alias("doc_id"),
        domain.cast("string").alias("domain"),
        text.alias("text"),
        (default_source if columns.source is None else values[columns.source]).cast("string").alias("source"),
        F.coalesce(repaired, F.lit(False)).alias("was_repaired"),
        (F.lit(None) if problem is None else problem).cast(PROBLEM).alias("problem"),
    )


def _value(rows: DataFrame, name: str) -> Column:
    column = _column(rows, name)
    data_type = rows.select(column).schema[0].dataType
    if not isinstance(data_type, AtomicType):
        raise no_value(name, data_type.simpleString())
    return column


def _column(rows: DataFrame, name: str) -> Column:
    """The column of that name, in any case; or the field of a struct, as in meta.language."""
    from pyspark.errors import PySparkException

    if name in rows.columns:
        return F.col(quote_name(name))
    if name == "*" or name.endswith(".*"):
        # Spark would read it as all columns.
        raise no_column(name, rows.columns)
    try:
        column = F.col(name)
        rows.select(column)
    except PySparkException:
        raise no_column(name, rows.columns) from None
    return column
