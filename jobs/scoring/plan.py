"""How documents become scores: the model's pandas_udf, and the limits around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ScoringPlan:
    """How documents become scores: the model's pandas_udf and the limits around it.

    batch_bytes: text in a commit, in bytes; None for as much as batch_minutes of work are at the speed so far.
    max_attempts: a document whose attempts all failed is tried again while it has had fewer. max_failed_fraction:
    failures among first attempts that stop the run. doc_id_column: the id's name in the source, for messages.
    """

    scorer_id: str
    paired_scores: Any
    tasks: int
    max_text_bytes: int
    batch_bytes: int | None = None
    batch_minutes: float = 10.0
    max_attempts: int = 1
    max_failed_fraction: float = 1.0
    doc_id_column: str = "doc_id"
