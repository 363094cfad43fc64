"""What is to be scored: a table at one version, and its Delta id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.corpus.documents import read_at_newest_version, source_name
from schemas.identity import identity

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.settings.documents import DocumentTable
    from jobs.spark.namespace import Namespace


@dataclass(frozen=True)
class SourceTable:
    """A table as quoted SQL, its path where it was named by one, and its documents as they are at its version.

    version: None for a view, and for a table that is not Delta's. source_id: None there, too; else a hash of the Delta
    table's id, its location and the columns that are read. A table that was made anew, copied file by file (which keeps
    the id), or is read by other columns is recognised by it as another source. modified_at: when it had its last
    commit, which may be a later one than that of the version.
    """

    identifier: str
    path: str | None
    columns: DocumentTable
    documents: DataFrame
    version: int | None = None
    source_id: str | None = None
    modified_at: datetime | None = None


def find_source(spark: SparkSession, namespace: Namespace, columns: DocumentTable) -> SourceTable:
    """The table with these columns, at its newest version; ValueError where the table or a column is missing."""
    from pyspark.errors import PySparkException

    identifier = source_name(namespace, columns)
    path = identifier[len("delta.`") : -1].replace("``", "`") if identifier.startswith("delta.`") else None
    documents, version = read_at_newest_version(spark, namespace, columns)
    source = SourceTable(identifier=identifier, path=path, columns=columns, documents=documents)
    if version is None:
        return source
    try:
        detail = spark.sql(f"describe detail {identifier}").collect()[0]
    except (PySparkException, IndexError):
        return source
    source_id = identity(detail["id"], detail["location"], columns.doc_id, columns.text, columns.domain)
    return replace(source, version=version, source_id=source_id, modified_at=detail["lastModified"])
