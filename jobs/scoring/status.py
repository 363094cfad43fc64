"""Status: what the scoring runs of a namespace did or are doing, how fast, what failed, and what is left."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jobs.settings.stage import StageSettings
from jobs.spark.namespace import Namespace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HEADER = [
    "run",
    "state",
    "documents",
    "to do",
    "tokens",
    "in all",
    "tokens/s",
    "failed",
    "left",
    "device-hours",
    "updated",
]
# Seconds without a write after which a run has probably been killed.
SILENT_SECONDS = 15 * 60


class StatusSettings(StageSettings):
    """Show the scoring runs of the namespace, the newest first, while they run and afterwards."""

    run_id: str | None = Field(None, description="show only this run, with its classes of failure")
    limit: int = Field(10, ge=1, description="how many runs to show")
    watch: bool = Field(False, description="refresh until no run is running, or none has written for 15 minutes")
    interval: float = Field(10.0, gt=0, description="with --watch: seconds between refreshes")
    json_output: bool = Field(False, alias="json", description="print one JSON object per run, one per line")


def run(settings: StatusSettings, spark: SparkSession) -> list[dict[str, Any]]:
    """Print the runs, once or until none is running; returns the rows that were printed last."""
    namespace = Namespace.parse(settings.namespace)
    while True:
        rows = read_runs(spark, namespace, settings)
        _print(rows, settings)
        running = [row for row in rows if row["state"] == "running"]
        # The row of a killed run says "running" for ever.
        if not settings.watch or all(_seconds_since(row["updated_at"]) > SILENT_SECONDS for row in running):
            return rows
        time.sleep(settings.interval)


def read_runs(spark: SparkSession, namespace: Namespace, settings: StatusSettings) -> list[dict[str, Any]]:
    """The newest runs as mappings, each with `failures`, its failed documents by class, and `num_tokens_in_all`."""
    from jobs.spark.statements import run_statement
    from schemas import runs, scores

    table = namespace.read(spark, runs.TABLE)
    if settings.run_id:
        table = table.filter(table.run_id == settings.run_id)
        if table.isEmpty():
            raise ValueError(
                f"namespace {namespace} has no run {settings.run_id!r}; leave --run-id out to see them all"
            )
    newest = table.orderBy(table.started_at.desc(), table.run_id).limit(settings.limit)
    rows = [row.asDict() for row in newest.collect()]
    failed = [row["run_id"] for row in rows if row["num_failed"]]
    classes: dict[str, dict[str, int]] = {}
    if failed:
        failures = run_statement(spark, "scoring/failures_by_run", scores=namespace.read(spark, scores.TABLE))
        for row in failures.filter(failures.run_id.isin(failed)).collect():
            classes.setdefault(row["run_id"], {})[row["error_class"]] = row["num_documents"]
    return [
        row | {"failures": classes.get(row["run_id"], {}), "num_tokens_in_all": _tokens_in_all(row)} for row in rows
    ]


def _tokens_in_all(row: dict[str, Any]) -> int | None:
    """The run's tokens, estimated from the documents so far; None where it is not known how many there are."""
    if row["num_to_do"] is None or not row["num_documents"]:
        return None
    num_documents = max(row["num_to_do"], row["num_documents"])
    return int(row["num_tokens"] * num_documents / row["num_documents"])


def _print(rows: list[dict[str, Any]], settings: StatusSettings) -> None:
    from jobs.terminal.display import plain_table, printable

    if settings.json_output:
        for row in rows:
            print(json.dumps(row, default=str))
        return
    print(plain_table(HEADER, [_cells(row) for row in rows]))
    for row in rows:
        for error_class, count in sorted(row["failures"].items(), key=lambda item: -item[1]):
            print(f"  {row['run_id']}: {count:,} {printable(error_class, 60)}")
        if row["message"]:
            print(f"  {row['run_id']} failed: {printable(row['message'], 300)}")
    sys.stdout.flush()


def _seconds_since(then: datetime) -> float:
    # Spark returns times without a time zone, and astimezone takes them for times in this machine's.
    return (datetime.now(UTC) - then.astimezone(UTC)).total_seconds()


def _cells(row: dict[str, Any]) -> list[str]:
    from jobs.terminal.progress import duration

    age = _seconds_since(row["updated_at"])
    state = row["state"]
    if state == "running" and age > SILENT_SECONDS:
        state = f"running? silent for {duration(age)}"
    left = "" if row["seconds_left"] is None or row["state"] != "running" else duration(row["seconds_left"])
    return [
        row["run_id"],
        state,
        f"{row['num_documents']:,}",
        "" if row["num_to_do"] is None else f"{max(0, row['num_to_do'] - row['num_documents']):,}",
        f"{row['num_tokens']:,}",
        "" if row["num_tokens_in_all"] is None else f"{row['num_tokens_in_all']:,}",
        "" if row["tokens_per_second"] is None else f"{row['tokens_per_second']:,.0f}",
        f"{row['num_failed']:,}",
        left,
        f"{row['device_hours']:.2f}",
        f"{row['updated_at']:%Y-%m-%d %H:%M:%S}",
    ]
