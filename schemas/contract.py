"""Table contracts: what a table holds, and how its Delta table is created and checked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql.types import (
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from schemas.quoting import quote_name, quote_text

STRING, INT, LONG, DOUBLE, TIMESTAMP = StringType(), IntegerType(), LongType(), DoubleType(), TimestampType()
# Older readers cannot open tables with deletion vectors, and some platforms turn them on by default.
TABLE_PROPERTIES = {"delta.enableDeletionVectors": "false"}
_CHECK_PREFIX = "delta.constraints."


@dataclass(frozen=True)
class TableContract:
    """What one table holds.

    grain: what a row is, in one sentence. key: the columns that identify a row. made_by: the stage that writes it.
    checks: from a constraint's name to SQL that must be true in every row, where null counts as false. added_later:
    from a column that tables of older versions lack to the SQL of its value there. upgraded_by: the command that adds
    these columns; empty where one SQL statement does.
    """

    name: str
    grain: str
    schema: StructType
    key: tuple[str, ...]
    made_by: str
    checks: Mapping[str, str] = field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    added_later: Mapping[str, str] = field(default_factory=dict)
    upgraded_by: str = ""


def required(name: str, data_type: DataType, comment: str) -> StructField:
    """A column that is never null; the comment is stored in the field's metadata, as in Delta."""
    return StructField(name, data_type, False, {"comment": comment})


def optional(name: str, data_type: DataType, comment: str) -> StructField:
    """A column that may be null."""
    return StructField(name, data_type, True, {"comment": comment})


def finite(name: str) -> str:
    """SQL that is true when the column is null or a finite number.

    Spark sorts NaN above every number, even infinity, so a NaN score would be the best of its domain.
    """
    return f"{name} is null or abs({name}) < double('infinity')"


def check_schema(found: StructType, contract: TableContract, where: str) -> None:
    """Raise ValueError, with expected and found side by side, unless the columns are the contract's.

    Their names, types and order must be equal. Nullability may differ: Delta itself enforces NOT NULL at every write.
    """
    expected_columns = [f"{f.name} {f.dataType.simpleString()}" for f in contract.schema]
    found_columns = [f"{f.name} {f.dataType.simpleString()}" for f in found]
    if expected_columns == found_columns:
        return
    width = max(len(text) for text in ["expected", *expected_columns])
    rows = itertools.zip_longest(expected_columns, found_columns, fillvalue="(none)")
    lines = [f"  {'expected':<{width}}   found"]
    lines += [f"{' ' if want == got else '!'} {want:<{width}}   {got}" for want, got in rows]
    raise ValueError(
        f"{where} does not have the columns of the {contract.name} table; use another namespace, or bring it "
        "to the expected names, types and order:\n" + "\n".join(lines)
    )


def check_table(found: StructType, contract: TableContract, where: str) -> None:
    """check_schema of a table; for one of an older version, the ValueError says how to bring it up to date."""
    missing = missing_columns(found, contract)
    if not missing:
        return check_schema(found, contract, where)
    raise ValueError(
        f"{where} is of an older version, without {', '.join(sorted(missing))}; bring it up to date once, while no job "
        "writes to it, "
        + (
            f"with attention-influence {contract.upgraded_by} --namespace ..."
            if contract.upgraded_by
            else f"with this SQL:\n{_migration(contract, missing, where)}"
        )
    )


def missing_columns(found: StructType, contract: TableContract) -> list[str]:
    """The columns that a table of an older version lacks, or has without values; none if it differs otherwise.

    Where a command fills the columns, it gives each its comment last: one without has not been filled.
    """
    types = {f.name: f for f in found}
    missing = [
        f.name
        for f in contract.schema
        if f.name not in types
        or (contract.upgraded_by and f.name in contract.added_later and not _comment(types[f.name]))
    ]
    absent = [name for name in missing if name not in types]
    is_older = set(missing) <= contract.added_later.keys() and len(found) + len(absent) == len(contract.schema)
    return missing if is_older else []


def _comment(column: StructField) -> str:
    return str(column.metadata.get("comment", ""))


def _migration(contract: TableContract, missing: list[str], identifier: str) -> str:
    """SQL that replaces a table of an older version with the same table plus the missing columns."""
    columns = [
        f"cast({contract.added_later[f.name]} as {f.dataType.simpleString()}) as {f.name}"
        if f.name in missing
        else f.name
        for f in contract.schema
    ]
    partitions = f" partitioned by ({', '.join(contract.partition_by)})" if contract.partition_by else ""
    # The identifier is quoted; the columns are the contract's own.
    selected = f"select {', '.join(columns)} from {identifier}"  # noqa: S608
    return f"create or replace table {identifier} using delta{partitions} as {selected}"


def create_table(spark: SparkSession, contract: TableContract, identifier: str) -> None:
    """Create the Delta table, or check the existing one; afterwards it has all constraints of the contract.

    identifier: the table's name as quoted SQL. Raises ValueError when a table with other columns exists.
    """
    spark.sql(create_statement(contract, identifier))
    check_table(spark.table(identifier).schema, contract, identifier)
    add_constraints(spark, contract, identifier)


def add_constraints(spark: SparkSession, contract: TableContract, identifier: str) -> None:
    """Give the table those constraints of the contract that it does not have; fails where a row breaks one."""
    present = _constraints(spark, identifier)
    for name, condition in contract.checks.items():
        if name not in present:
            _add_constraint(spark, identifier, name=name, condition=condition)


def create_statement(contract: TableContract, identifier: str) -> str:
    """The CREATE TABLE statement, with the CHECK constraints as table properties, which is where Delta stores them.

    So one commit creates the whole table. ALTER TABLE ADD CONSTRAINT needs a scan and a commit per constraint: 15 s
    instead of 1 s for the scores table.
    """
    columns = ", ".join(_column_definition(f) for f in contract.schema)
    partitions = ", ".join(quote_name(name) for name in contract.partition_by)
    settings = {**TABLE_PROPERTIES, **{f"{_CHECK_PREFIX}{name}": check for name, check in contract.checks.items()}}
    properties = ", ".join(f"{quote_text(key)} = {quote_text(value)}" for key, value in settings.items())
    return (
        f"create table if not exists {identifier} ({columns}) using delta"
        + (f" partitioned by ({partitions})" if partitions else "")
        + f" comment {quote_text(contract.grain)} tblproperties ({properties})"
    )


def _column_definition(field_: StructField) -> str:
    not_null = "" if field_.nullable else " not null"
    comment = quote_text(field_.metadata["comment"])
    return f"{quote_name(field_.name)} {field_.dataType.simpleString()}{not_null} comment {comment}"


def _constraints(spark: SparkSession, identifier: str) -> set[str]:
    keys = [row["key"] for row in spark.sql(f"show tblproperties {identifier}").collect()]
    return {key.removeprefix(_CHECK_PREFIX) for key in keys if key.startswith(_CHECK_PREFIX)}


def _add_constraint(spark: SparkSession, identifier: str, name: str, condition: str) -> None:
    try:
        spark.sql(f"alter table {identifier} add constraint {quote_name(name)} check ({condition})")
    except AnalysisException as error:
        # Another job created the same table at the same moment.
        if error.getCondition() != "DELTA_CONSTRAINT_ALREADY_EXISTS":
            raise
