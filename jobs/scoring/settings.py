"""The settings of score: those of a scorer, and how a run reads, commits and stops."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.settings.scorer import ScorerSettings


class ScoreSettings(ScorerSettings):
    """Score each document with all heads and with a mask's heads off, in one pass of the model.

    A document is scored once per text and scorer (model, mask, mode, window, number format). Another run goes on with
    what was added to the table or, with --mode reconcile, with whatever has no score yet. Each document gets a row in
    scores, also where it could not be scored.
    """

    mode: Literal["stream", "reconcile"] = Field(
        "stream",
        description="stream: score what was added since the last run; reconcile: compare the whole table with scores",
    )
    checkpoint: str | None = Field(
        None, description="folder that records what streams have read; by default in the namespace"
    )
    limit: int | None = Field(None, ge=1, description="score at most this many of the unscored documents")
    batch_bytes: int | None = Field(None, ge=1, description="text in a commit, in bytes; overrides --batch-minutes")
    batch_minutes: float = Field(
        10.0, gt=0, description="minutes of work per commit, which is the most that a killed run loses"
    )
    max_attempts: int = Field(
        3, ge=1, description="with --mode reconcile: how often to try a failing document, earlier runs included"
    )
    max_failed_fraction: float = Field(
        0.01, ge=0, le=1, description="the run fails if a larger share of first attempts fails"
    )
    max_text_bytes: int = Field(
        20_000_000, ge=1, description="longest text to score, in bytes; longer ones get the status failed"
    )
    compiled: bool = Field(False, alias="compile", description="compile the model's layers first, a minute per worker")
    tasks: int | None = Field(
        None,
        ge=1,
        description="Spark tasks; by default, on one machine, one per core as memory allows, or one if it has a GPU",
    )
    dry_run: bool = Field(False, description="say what would be scored, and write nothing")
