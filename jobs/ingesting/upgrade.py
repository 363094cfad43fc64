"""A corpus table of an older version, brought up to date."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from jobs.spark.spark_errors import spark_reasons
from jobs.spark.table_names import find_table
from schemas import corpus
from schemas.contract import add_constraints, missing_columns
from schemas.quoting import quote_name, quote_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.ingesting.settings import IngestSettings
    from jobs.spark.namespace import Namespace


def upgrade_corpus(settings: IngestSettings, spark: SparkSession, namespace: Namespace) -> dict[str, Any]:
    """Add the columns that the table lacks, filled; print, and return, which they were, or would be in a dry run.

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
        said = "is up to date"
    elif settings.dry_run:
        said = f"lacks {', '.join(missing)}, for which all its texts would be read once"
    else:
        print(f"reading all texts of corpus in {namespace}, once, for {', '.join(missing)}", file=sys.stderr)
        with spark_reasons(f"corpus in {namespace} could not be upgraded; ingest --upgrade goes on where this stopped"):
            _fill(spark, namespace, table=table, missing=missing)
        said = f"has {', '.join(missing)} now"
    if not settings.dry_run:
        # Adds constraints that are missing.
        namespace.create(spark, contract)
    print(json.dumps({"added": missing}) if settings.json_output else f"corpus in {namespace} {said}")
    return {"added": missing}


def _fill(spark: SparkSession, namespace: Namespace, *, table: DataFrame, missing: list[str]) -> None:
    contract, identifier = corpus.TABLE, namespace.identifier(corpus.TABLE.name)
    types = {field.name: field for field in contract.schema}
    if new := [types[name] for name in missing if name not in table.columns]:
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
    # Before the comments: from then on the columns are trusted.
    add_constraints(spark, contract, identifier)
    for name in missing:
        # What shows that they are filled.
        comment = quote_text(types[name].metadata["comment"])
        spark.sql(f"alter table {identifier} alter column {quote_name(name)} comment {comment}")
