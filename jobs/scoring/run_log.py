"""The counts and the clock of a scoring run, and the row of `runs` that it keeps of itself."""

from __future__ import annotations

import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.spark.conflicts import retry_conflicts
from jobs.spark.namespace import Namespace
from jobs.spark.spark_errors import reason
from jobs.spark.statements import local_rows
from schemas import runs
from schemas.scores import STATUSES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Time between two writes of a running run's row, in seconds: each is a commit.
RECORD_SECONDS = 20.0


@dataclass
class RunLog:
    """Counts of one run: documents by status, tokens, bytes; the clock starts when it is made.

    num_to_do: documents of the run, as far as the tables' sizes tell, or None; num_new: those at their first attempt;
    scoring_seconds: time inside commits.
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

    def skip(self, num_documents: int) -> None:
        """Count documents that were scored before."""
        self.num_skipped += num_documents

    def estimate_to_do(self, num_documents: int) -> None:
        """Take the number for the documents of the run until more is known."""
        self.num_to_do = num_documents

    def expect(self, num_documents: int, *, is_all: bool) -> int:
        """Take note of pending documents, all of the run's or the next ones; returns how many the run has in all."""
        known = self.num_documents + num_documents
        self.num_to_do = known if is_all or self.num_to_do is None else max(known, self.num_to_do)
        return self.num_to_do

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Count the time of the block as time of scoring; what is read before says nothing of the speed."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.scoring_seconds += time.monotonic() - started

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the row in `runs` while the block runs: running, then finished or failed."""
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
        """Seconds since the run began."""
        return time.monotonic() - self.started

    @property
    def tokens_per_second(self) -> float | None:
        """Document tokens per second of scoring, both losses counted once; None before the first."""
        return self.num_tokens / self.scoring_seconds if self.num_tokens and self.scoring_seconds else None

    @property
    def bytes_per_second(self) -> float | None:
        """Bytes of text per second of scoring; None before the first."""
        return self.num_bytes / self.scoring_seconds if self.num_bytes and self.scoring_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """For the documents that are left, as if they were as long as those before; None where that is not known."""
        if self.num_to_do is None or not self.num_documents:
            return None
        return max(0, self.num_to_do - self.num_documents) * self.scoring_seconds / self.num_documents

    def record(self, state: str, *, message: str | None = None, at_once: bool = False) -> None:
        """Add the run's row, or replace it. A row that cannot be written does not stop the run."""
        if state == "running" and not at_once and time.monotonic() - self._recorded < RECORD_SECONDS:
            return
        is_first, self._recorded = self._recorded == float("-inf"), time.monotonic()
        try:
            row = local_rows(self.spark, [self._row(state, message)], runs.TABLE.schema)
            if is_first:
                self.namespace.append(row, runs.TABLE)
            else:
                retry_conflicts(lambda: self.namespace.replace(row, runs.TABLE, column="run_id", value=self.run_id))
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
