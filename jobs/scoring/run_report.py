"""What a run says at its end, for a program and for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.scoring.failures import failure_classes, failures_query
from jobs.terminal.progress import duration

if TYPE_CHECKING:
    from jobs.scoring.run_log import RunLog


def run_result(log: RunLog) -> dict[str, Any]:
    """The run's counts, for a program."""
    counts = {"num_documents": log.num_documents, "num_tokens": log.num_tokens, **log.by_status}
    rest = {"num_skipped": log.num_skipped, "num_float32_windows": log.num_float32_windows}
    return {"run_id": log.run_id, **counts, **rest, "tokens_per_second": log.tokens_per_second}


def run_summary(log: RunLog) -> str:
    """What the run did, in a line or two; where documents failed, their classes and the query that lists them."""
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(log.by_status.items()) if count)
    rate = f", {log.num_tokens:,} tokens at {log.tokens_per_second:,.0f} a second" if log.num_tokens else ""
    skipped = f"; {log.num_skipped:,} were scored before" if log.num_skipped else ""
    took = f", in {duration(log.seconds)}"
    lines = [f"run {log.run_id} of scorer {log.scorer_id}: {counts or 'nothing to score'}{rate}{took}{skipped}"]
    if log.num_float32_windows:
        lines.append(f"  {log.num_float32_windows:,} windows were read again in float32: half precision overflowed")
    if log.by_status["failed"]:
        lines.append(f"  failed: {failure_classes(log)}")
        lines.append(f"  {failures_query(log)}")
    return "\n".join(lines)
