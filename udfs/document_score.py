"""The result for one document: its two losses and its score, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from udfs.windows import Window

Status = Literal["scored", "empty", "too_short", "failed"]
# Increased whenever a change of code changes scores. It is part of a scorer's identity.
SCORING_VERSION = 5


@dataclass(frozen=True)
class DocumentScore:
    """One document's result. The sums are in nats, over num_predicted_tokens; they are None unless status is scored.

    num_float32_windows: windows whose half-precision loss was not finite, and which were read again in float32.
    """

    status: Status
    num_tokens: int = 0
    num_predicted_tokens: int = 0
    num_windows: int = 0
    num_float32_windows: int = 0
    base_nll_sum: float | None = None
    masked_nll_sum: float | None = None
    base_loss: float | None = None
    masked_loss: float | None = None
    influence_score: float | None = None
    error_class: str | None = None
    error_message: str | None = None


def scored(
    windows: Sequence[Window], num_tokens: int, base_sum: float, masked_sum: float, num_float32_windows: int = 0
) -> DocumentScore:
    """The score s = (masked - base) / base, from sums over exactly the same tokens (arXiv:2505.07293).

    The document fails where a sum is not finite, or the base sum is not above 0.
    """
    num_predicted = sum(window.num_predicted_tokens for window in windows)
    if not (math.isfinite(base_sum) and math.isfinite(masked_sum)):
        return failed("NonFiniteLoss", f"the losses of {num_predicted} tokens sum to {base_sum} and {masked_sum}")
    if base_sum <= 0:
        return failed("ZeroLoss", f"the base loss of {num_predicted} tokens is {base_sum}: a ratio to it says nothing")
    return DocumentScore(
        status="scored",
        num_tokens=num_tokens,
        num_predicted_tokens=num_predicted,
        num_windows=len(windows),
        num_float32_windows=num_float32_windows,
        base_nll_sum=base_sum,
        masked_nll_sum=masked_sum,
        base_loss=base_sum / num_predicted,
        masked_loss=masked_sum / num_predicted,
        influence_score=(masked_sum - base_sum) / base_sum,
    )


def failed(error_class: str, message: str) -> DocumentScore:
    """The result for a document that could not be scored; the message is cut, as it may quote the text."""
    return DocumentScore("failed", error_class=error_class, error_message=message[:300])
