"""The settings of score: what estimate has, too, and how a run goes on, ends and commits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.settings.scorer import ScorerSettings


class ScoreSettings(ScorerSettings):
    """Score each document with all heads and with a mask's heads off, in one pass of the model.

    A document is scored once for each text and scorer (model, mask, mode, window, number format). Run it again and it
    goes on: with what was added to the table, or, with --mode reconcile, with whatever differs from the scores. Each
    document gets a row in scores, whatever became of it.
    """

    mode: Literal["stream", "reconcile"] = Field(
        "stream", description="what was added to the table since the last run; or compare all of it with the scores"
    )
    checkpoint: str | None = Field(None, description="folder for what streams have read; by default the namespace's")
    limit: int | None = Field(None, ge=1, description="score only so many of the documents not yet scored")
    batch_bytes: int | None = Field(None, ge=1, description="text in a commit, in bytes; overrides --batch-minutes")
    batch_minutes: float = Field(10.0, gt=0, description="work in a commit, and what a killed run loses at most")
    max_attempts: int = Field(
        3, ge=1, description="with reconcile: tries of a document that fails, earlier ones included"
    )
    max_failed_fraction: float = Field(
        0.01, ge=0, le=1, description="failures among first attempts that make the run fail"
    )
    max_text_bytes: int = Field(20_000_000, ge=1, description="a longer text is not read; its status is failed")
    compiled: bool = Field(False, alias="compile", description="compile the model's layers first: a minute a worker")
    tasks: int | None = Field(
        None,
        ge=1,
        description="Spark tasks; on one machine by default one a core as memory allows, one if it has a GPU",
    )
    dry_run: bool = Field(False, description="say what would be scored, and stop")
