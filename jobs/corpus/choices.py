"""Which of several a person means: the one that was named, or the only one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Row

    from jobs.spark.namespace import Namespace


def only_or_named(
    namespace: Namespace,
    rows: Sequence[Row],
    name: str | None,
    *,
    key: str,
    missing: str,
    several: str,
    describe: Callable[[Row], str],
) -> Row:
    """The row whose key column is the name or, where name is None, the only row.

    missing: what the namespace does not have where there are no rows, and the command that makes one. several: what it
    has too many of. describe: what tells a row from the others. The flag is the key column's: --scorer-id. Raises
    ValueError where that is not one row, with a list of the rows there are.
    """
    if not rows:
        raise ValueError(f"namespace {namespace} has no {missing}")
    chosen = [row for row in rows if name in (None, row[key])]
    if len(chosen) == 1:
        return chosen[0]
    flag = f"--{key.replace('_', '-')}"
    listed = "".join(f"\n  {row[key]}  {describe(row)}" for row in rows)
    if name is None:
        raise ValueError(f"namespace {namespace} has {several}; name one with {flag}:{listed}")
    raise ValueError(f"{flag} is {name!r}, but namespace {namespace} has only:{listed}")
