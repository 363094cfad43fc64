"""The row that a scoring run keeps of itself in `runs`, when it stops for failures, and what it says at the end."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.spark.conflicts import retry_conflicts
from jobs.spark.namespace import Namespace
from jobs.spark.spark_errors import reason
from jobs.terminal.progress import duration
from schemas import runs, scores
from schemas.scores import STATUSES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FAILURES = "SELECT doc_id, error_class, error_message FROM scores WHERE run_id = :run_id AND status = 'failed'"
# A run's row is written no more often than this, in seconds: each time is a commit.
RECORD_SECONDS = 20.0
# Too few to tell a bad corpus from a bad start.
ENOUGH_DOCUMENTS = 1000


@dataclass
class RunLog:
    """Counts of one run: documents by status, tokens, bytes; the clock starts when it is made.

    num_to_do: documents that are left, as far as the tables' sizes tell, or None; num_new: documents at their first
    attempt, of which more than max_failed_fraction failed ones end the run; scoring_seconds: time inside commits.
    """

    spark: SparkSession
    namespace: Namespace
    scorer_id: str
    source: str
    mode: str = "stream"
    source_id: str | None = None
    source_version: int | None = None
    num_to_do: int | None = None
    num_devices: int = 1
    max_failed_fraction: float = 1.0
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    by_status: Counter[str] = field(default_factory=Counter)
    num_tokens: int = 0
    num_bytes: int = 0
    num_skipped: int = 0
    num_new: int = 0
    num_new_failed: int = 0
    num_float32_windows: int = 0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    scoring_seconds: float = 0.0
    _recorded: float = float("-inf")

    def add(self, counts: Mapping[str, Any]) -> None:
        """Count a committed batch: documents of each status, and the sums (null when there were none)."""
        self.by_status.update({status: counts[status] for status in STATUSES})
        self.num_new += counts["num_new"]
        self.num_new_failed += counts["num_new_failed"]
        self.num_tokens += counts["num_tokens"] or 0
        self.num_bytes += counts["num_bytes"] or 0
        self.num_float32_windows += counts["num_float32_windows"] or 0

    def expect(self, num_documents: int, *, is_all: bool) -> int:
        """Take note of documents found to be left, all or the next of them; returns how many there are in the run."""
        found = self.num_documents + num_documents
        self.num_to_do = found if is_all or self.num_to_do is None else max(found, self.num_to_do)
        return self.num_to_do

    def wait_for(self, counts: Callable[[], dict[str, Any]], timeout: float) -> dict[str, Any] | None:
        """The counts of a commit; None where they do not come: it wrote nothing, or Spark has lost them."""
        found: list[dict[str, Any]] = []

        def wait() -> None:
            # Where nothing was written, Spark waits for ever, or says that an assertion failed.
            with suppress(Exception):
                found.append(counts())

        # It must not keep the process from ending.
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        thread.join(timeout)
        return found[0] if found else None

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Count the body's time as spent on scoring: what is read and counted before says nothing of the speed."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.scoring_seconds += time.monotonic() - started

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the row in `runs` while the body runs: running, then finished or failed."""
        self.record("running", at_once=True)
        try:
            yield
        except BaseException as error:
            self.record("failed", message=str(error)[:500] or type(error).__name__)
            raise
        self.record("finished")

    @property
    def num_documents(self) -> int:
        """Documents committed so far, of any status."""
        return self.by_status.total()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.started

    @property
    def tokens_per_second(self) -> float | None:
        """Document tokens a second of scoring, both losses counted once; None before the first."""
        return self.num_tokens / self.scoring_seconds if self.num_tokens and self.scoring_seconds else None

    @property
    def bytes_per_second(self) -> float | None:
        """Bytes of text a second of scoring; None before the first."""
        return self.num_bytes / self.scoring_seconds if self.num_bytes and self.scoring_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """By the documents that are left, as if they were as long as those before; None where that is not known."""
        if self.num_to_do is None or not self.num_documents:
            return None
        return max(0, self.num_to_do - self.num_documents) * self.scoring_seconds / self.num_documents

    def stop_if_too_many_failed(self, *, at_end: bool = False) -> None:
        """Raise ValueError when more than max_failed_fraction of the documents failed at their first attempt.

        Those that failed in an earlier run are known, and would fail each run that tries them again.
        """
        if self.num_new_failed <= self.max_failed_fraction * self.num_new:
            return
        if at_end or self.num_new >= ENOUGH_DOCUMENTS:
            raise ValueError(
                f"{self.num_new_failed:,} of {self.num_new:,} documents failed at their first attempt, more than "
                f"--max-failed-fraction {self.max_failed_fraction:g}; what was scored is kept ({self.failures()})\n"
                f"{self.query_of_failures()}"
            )

    def record(self, state: str, *, message: str | None = None, at_once: bool = False) -> None:
        """Write the run's row in the place of its former one. What cannot be written stops no run."""
        if state == "running" and not at_once and time.monotonic() - self._recorded < RECORD_SECONDS:
            return
        self._recorded = time.monotonic()
        try:
            rows = self.spark.createDataFrame([self._row(state, message)], runs.TABLE.schema)
            retry_conflicts(lambda: self.namespace.replace(rows, runs.TABLE, "run_id", self.run_id))
        except Exception as error:
            with suppress(OSError):
                print(f"the run's row in runs was not written: {reason(error)}"[:300], file=sys.stderr)

    def _row(self, state: str, message: str | None) -> tuple[Any, ...]:
        return (
            self.run_id,
            self.scorer_id,
            self.source,
            self.source_id,
            self.mode,
            self.source_version,
            state,
            message,
            self.num_to_do,
            self.num_skipped,
            self.num_documents,
            self.num_tokens,
            self.by_status["failed"],
            self.num_float32_windows,
            self.tokens_per_second,
            self.seconds_left,
            self.num_devices,
            self.seconds / 3600 * self.num_devices,
            self.started_at,
            datetime.now(UTC),
        )

    def result(self) -> dict[str, Any]:
        """The run's counts, for a program."""
        counts = {"num_documents": self.num_documents, "num_tokens": self.num_tokens, **self.by_status}
        rest = {"num_skipped": self.num_skipped, "num_float32_windows": self.num_float32_windows}
        return {"run_id": self.run_id, **counts, **rest, "tokens_per_second": self.tokens_per_second}

    def summary(self) -> str:
        """What the run did, in a line or two; where documents failed, their classes and the query that lists them."""
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.by_status.items()) if count)
        rate = f", {self.num_tokens:,} tokens at {self.tokens_per_second:,.0f} a second" if self.num_tokens else ""
        skipped = f"; {self.num_skipped:,} were scored before" if self.num_skipped else ""
        took = f", in {duration(self.seconds)}"
        lines = [f"run {self.run_id} of scorer {self.scorer_id}: {counts or 'nothing to score'}{rate}{took}{skipped}"]
        if self.num_float32_windows:
            lines.append(f"  {self.num_float32_windows:,} windows were read again in float32: 16 bits overflowed")
        if self.by_status["failed"]:
            lines.append(f"  failed: {self.failures()}")
            lines.append(f"  {self.query_of_failures()}")
        return "\n".join(lines)

    def failures(self) -> str:
        """The classes of the run's failures with their counts."""
        try:
            table = self.namespace.read(self.spark, scores.TABLE)
            failed = table.filter((table.run_id == self.run_id) & (table.status == "failed"))
            rows = failed.groupBy("error_class").count().orderBy("count", ascending=False).collect()
        except Exception as error:
            return f"classes unknown: {reason(error)}"
        return ", ".join(f"{row['count']:,} {row['error_class']}" for row in rows)

    def query_of_failures(self) -> str:
        """How to list them."""
        query = FAILURES.replace(":run_id", f"'{self.run_id}'")
        return f'which ones, and why: attention-influence sql --namespace {self.namespace} "{query}"'
