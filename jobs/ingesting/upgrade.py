"""A corpus table of an older version, brought up to date."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jobs.spark.spark_errors import spark_reasons
from jobs.spark.table_names import find_table
from schemas import corpus
from schemas.contract import missing_columns
from schemas.quoting import quote_name, quote_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.spark.namespace import Namespace


def upgrade_corpus(spark: SparkSession, namespace: Namespace) -> dict[str, Any]:
    """Add the columns that the table lacks, filled; print, and return, which they were.

    The same documents in new files: streams that follow the table go on where they were. Killed halfway, it is begun
    anew by the next call. Raises ValueError where there is no table, or it differs in anything else.
    """
    contract, identifier = corpus.TABLE, namespace.identifier(corpus.TABLE.name)
    table = find_table(spark, identifier)
    if table is None:
        raise ValueError(f"namespace {namespace} has no corpus table to upgrade")
    missing = missing_columns(table.schema, contract)
    if not missing:
        # Refuses a table that differs in anything else.
        namespace.read(spark, contract)
        print(f"corpus in {namespace} is up to date")
        return {"added": []}
    print(f"reading all texts of corpus in {namespace}, once, for {', '.join(missing)}", file=sys.stderr)
    with spark_reasons(f"corpus in {namespace} could not be upgraded; ingest --upgrade goes on where this stopped"):
        types = {field.name: field for field in contract.schema}
        new = [types[name] for name in missing if name not in table.columns]
        if new:
            columns = ", ".join(f"{quote_name(field.name)} {field.dataType.simpleString()}" for field in new)
            spark.sql(f"alter table {identifier} add columns ({columns})")
        filled = spark.table(identifier).selectExpr(
            *[
                f"cast({contract.added_later[name]} as {types[name].dataType.simpleString()}) as {name}"
                if name in missing
                else name
                for name in contract.schema.names
            ]
        )
        # No stream need read these files again: their documents are those that were there.
        writer = filled.write.format("delta").mode("overwrite").option("dataChange", "false")
        if namespace.folder:
            writer.save(f"{namespace.folder}/{contract.name}")
        else:
            writer.saveAsTable(identifier)
        for name in missing:
            # What shows that they are filled.
            comment = quote_text(types[name].metadata["comment"])
            spark.sql(f"alter table {identifier} alter column {quote_name(name)} comment {comment}")
        # Adds the constraints that are missing.
        namespace.create(spark, contract)
    print(f"corpus in {namespace} has {', '.join(missing)} now")
    return {"added": missing}
