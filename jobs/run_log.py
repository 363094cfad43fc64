"""The row that a scoring run keeps of itself in `runs`, and what it tells a person at the end."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.tables import Namespace
from schemas import runs
from schemas.scores import STATUSES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FAILURES = "SELECT doc_id, error_class, error_message FROM scores WHERE status = 'failed'"


@dataclass
class RunLog:
    """Counts of one run: documents by status, and tokens; the clock starts when it is made."""

    spark: SparkSession
    namespace: Namespace
    scorer_id: str
    source: str
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    by_status: Counter[str] = field(default_factory=Counter)
    num_tokens: int = 0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)

    def add(self, counts: Mapping[str, Any]) -> None:
        """Count a committed batch: documents of each status, and num_tokens (null when there were none)."""
        self.by_status.update({status: counts[status] for status in STATUSES})
        self.num_tokens += counts["num_tokens"] or 0

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the row in `runs` while the body runs: running, then finished or failed."""
        self.record("running")
        try:
            yield
        except BaseException:
            self.record("failed")
            raise
        self.record("finished")

    @property
    def num_documents(self) -> int:
        """Documents committed so far, of any status."""
        return self.by_status.total()

    @property
    def tokens_per_second(self) -> float | None:
        """Document tokens a second since the run began, both losses counted once; None before the first."""
        return self.num_tokens / (time.monotonic() - self.started) if self.num_tokens else None

    def record(self, state: str) -> None:
        """Write the run's row with this state in the place of its former one."""
        row = (
            self.run_id,
            self.scorer_id,
            self.source,
            state,
            self.num_documents,
            self.num_tokens,
            self.by_status["failed"],
            self.tokens_per_second,
            self.started_at,
            datetime.now(UTC),
        )
        rows = self.spark.createDataFrame([row], runs.TABLE.schema)
        self.namespace.replace(rows, runs.TABLE, "run_id", self.run_id)

    def result(self) -> dict[str, Any]:
        """The run's counts, for a program."""
        counts = {"num_documents": self.num_documents, "num_tokens": self.num_tokens, **self.by_status}
        return {"run_id": self.run_id, **counts, "tokens_per_second": self.tokens_per_second}

    def summary(self) -> str:
        """What the run did, in a line or two; where documents failed, the query that lists them."""
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.by_status.items()) if count)
        rate = f", {self.num_tokens:,} tokens at {self.tokens_per_second:,.0f} a second" if self.num_tokens else ""
        lines = [f"run {self.run_id} of scorer {self.scorer_id}: {counts}{rate}"]
        if self.by_status["failed"]:
            lines.append(f'  why some failed: attention-influence sql --namespace {self.namespace} "{FAILURES}"')
        return "\n".join(lines)
