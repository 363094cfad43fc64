"""Where the tables live: a schema of a catalog, or a folder of Delta tables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.spark.conflicts import retry_creation
from jobs.spark.spark_errors import spark_reasons
from jobs.spark.table_names import NAME, absolute_path, find_table, known_tables, refuse_hostile
from jobs.spark.time_travel import find_at_newest_version
from schemas.quoting import quote_name, quote_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from schemas.contract import TableContract


@dataclass(frozen=True)
class Namespace:
    """A schema ("catalog.schema" or "schema"), or a folder or URI with one folder per Delta table.

    Exactly one of schema_parts and folder is set; make one with Namespace.parse.
    """

    schema_parts: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def parse(cls, text: str) -> Namespace:
        """The namespace that a person named: a folder where there is a slash in it, else a schema.

        Raises ValueError for a name that could be read as SQL, or that is neither.
        """
        refuse_hostile(text, "--namespace")
        if "/" in text or text in (".", "..", "~"):
            return cls(folder=absolute_path(text))
        parts = tuple(text.split("."))
        if len(parts) > 2 or not all(NAME.match(part) for part in parts):
            raise ValueError(
                f"--namespace is {text!r}, but must be a schema (catalog.schema or schema), or a folder or URI "
                "with a slash in it (./data, s3://bucket/data)"
            )
        return cls(schema_parts=parts)

    def __str__(self) -> str:
        return self.folder or ".".join(self.schema_parts)

    def identifier(self, table_name: str) -> str:
        """The table as quoted SQL: `catalog`.`schema`.`scores`, or delta.`/folder/scores`."""
        if not NAME.match(table_name):
            raise ValueError(f"{table_name!r} is no table name: letters, digits, _ and - only")
        if self.folder:
            return f"delta.{quote_name(f'{self.folder}/{table_name}')}"
        return ".".join(quote_name(part) for part in (*self.schema_parts, table_name))

    def exists(self, spark: SparkSession, table_name: str) -> bool:
        """Whether the namespace holds that table."""
        return find_table(spark, self.identifier(table_name)) is not None

    def table_names(self, spark: SparkSession) -> list[str]:
        """The names of the tables that the namespace holds, in order.

        Spark cannot list a folder that is not on this machine: there, only the tables of this project that exist.
        """
        if self.schema_parts:
            schema = ".".join(quote_name(part) for part in self.schema_parts)
            with spark_reasons(f"namespace {self} cannot be read"):
                listed = spark.sql(f"show tables in {schema}").where("not isTemporary").collect()
            names = [row["tableName"] for row in listed]
        elif os.path.isdir(local := _local(self.folder)):
            names = [name for name in os.listdir(local) if os.path.isdir(f"{local}/{name}/_delta_log")]
        else:
            names = [name for name in known_tables() if self.exists(spark, name)]
        return sorted(name for name in names if NAME.match(name))

    def require_creatable(self, spark: SparkSession, contract: TableContract) -> None:
        """Raise ValueError where it can be told beforehand that create would fail; nothing is created."""
        if not self.folder:
            with spark_reasons(self._not_created(contract)):
                self._has_schema(spark)
            return
        there = _local(f"{self.folder}/{contract.name}")
        while there.startswith("/") and not os.path.exists(there):
            there = os.path.dirname(there)
        _refuse_read_only(there)

    def create(self, spark: SparkSession, contract: TableContract) -> None:
        """Create the table where it is missing, with its schema; call it before any work.

        Raises ValueError where the namespace cannot be written, or holds another table of this name.
        """
        from schemas.contract import create_table

        if self.folder:
            _refuse_read_only(f"{self.folder}/{contract.name}")
        with spark_reasons(self._not_created(contract)):
            self._create_schema(spark)
            # Runs that start at the same time make the same tables.
            retry_creation(lambda: create_table(spark, contract, self.identifier(contract.name)))

    def read(self, spark: SparkSession, contract: TableContract) -> DataFrame:
        """The table, checked against its contract; where it is missing, a ValueError that says what makes it."""
        return self._checked(find_table(spark, self.identifier(contract.name)), contract)

    def read_at_newest_version(self, spark: SparkSession, contract: TableContract) -> tuple[DataFrame, int | None]:
        """read, at the table's newest version, whatever is written to it meanwhile, and that version, if it has one."""
        table, version = find_at_newest_version(spark, self.identifier(contract.name))
        return self._checked(table, contract), version

    def _checked(self, table: DataFrame | None, contract: TableContract) -> DataFrame:
        from schemas.contract import check_table

        if table is None:
            folder = f" (or is it the folder ./{self}?)" if self.schema_parts and os.path.isdir(str(self)) else ""
            raise ValueError(
                f"namespace {self}{folder} has no {contract.name} table; make it first: "
                f"attention-influence {contract.made_by} --namespace {self} ..."
            )
        check_table(table.schema, contract, self.identifier(contract.name))
        return table

    def append(self, rows: DataFrame, contract: TableContract, options: Mapping[str, str] | None = None) -> None:
        """Add the rows in one commit; ValueError unless their columns are exactly the contract's."""
        from schemas.contract import check_schema

        check_schema(rows.schema, contract, f"what was to be added to {contract.name}")
        # Without the select, the writer would parse the rows' SQL statement again, whose inputs are gone by then.
        writer = rows.select("*").writeTo(self.identifier(contract.name))
        for key, value in (options or {}).items():
            writer = writer.option(key, value)
        writer.append()

    def replace(self, rows: DataFrame, contract: TableContract, column: str, value: str) -> None:
        """Replace the rows where column is value, in one commit.

        All rows must have that value. Raises ValueError unless their columns are exactly the contract's.
        """
        from schemas.contract import check_schema

        check_schema(rows.schema, contract, f"what was to be written to {contract.name}")
        condition = f"{quote_name(column)} = {quote_text(value)}"
        writer = rows.select("*").write.format("delta").mode("overwrite").option("replaceWhere", condition)
        if self.folder:
            writer.save(f"{self.folder}/{contract.name}")
        else:
            writer.saveAsTable(self.identifier(contract.name))

    def replace_all(self, rows: DataFrame, contract: TableContract) -> None:
        """Replace all rows, in one commit; ValueError unless the columns are right."""
        from pyspark.sql.functions import lit

        from schemas.contract import check_schema

        check_schema(rows.schema, contract, f"what was to be written to {contract.name}")
        rows.select("*").writeTo(self.identifier(contract.name)).overwrite(lit(True))

    def _not_created(self, contract: TableContract) -> str:
        return f"the {contract.name} table cannot be created in namespace {self}; name another with --namespace"

    def _create_schema(self, spark: SparkSession) -> None:
        if not self.folder and not self._has_schema(spark):
            spark.sql(f"create schema if not exists {'.'.join(map(quote_name, self.schema_parts))}")

    def _has_schema(self, spark: SparkSession) -> bool:
        """Whether the schema is there; ValueError where it would be forgotten."""
        if spark.catalog.databaseExists(".".join(map(quote_name, self.schema_parts))):
            return True
        if len(self.schema_parts) == 1 and spark.conf.get("spark.sql.catalogImplementation") == "in-memory":
            raise ValueError(
                f"namespace {self} would be a schema, but this Spark forgets schemas when it ends; "
                f"for a folder, write --namespace ./{self}"
            )
        return False


def _refuse_read_only(folder: str) -> None:
    """Raise ValueError for a table that is there but read-only: creating it does not fail, only writing at the end."""
    path = _local(folder)
    if os.path.isdir(path) and not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ValueError(f"{path} cannot be written by this user; name another folder with --namespace")


def _local(folder: str) -> str:
    return re.sub("^file:/+", "/", folder)
