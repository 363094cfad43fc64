"""The scorer, with a switch for each technique that it can do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.benchmarks.workloads import WINDOW, Workload, load
from udfs import paired as scoring
from udfs import token_budget
from udfs.batches import num_tokens, token_budget_batches
from udfs.document_score import DocumentScore
from udfs.memory import keep_freed_memory
from udfs.windows import Window


def paired(
    workload: Workload,
    dtype: str | None = None,
    *,
    keep_memory: bool = True,
    packed: bool = True,
    compiled: bool = False,
    rounded: bool = False,
    fp8: bool = False,
) -> Callable[[Sequence[str]], list[float]]:
    """The scorer itself; without its switches, it reads ahead, and runs the layers that no mask changes once."""
    if keep_memory and workload.device == "cpu":
        keep_freed_memory()
    if rounded:
        scoring.add_in_float32 = lambda _model: None
    model, tokenizer = load(workload, dtype)
    if fp8:
        _multiply_in_8_bits(model)
    scorer = scoring.PairedScorer(
        model, tokenizer, workload.heads, window=WINDOW, max_batch_tokens=workload.max_batch_tokens, compiled=compiled
    )
    scorer.packed = scorer.packed and packed

    num_read = 0

    def batches(windows: Sequence[Window], budget: int, *, packed: bool) -> Iterator[list[Window]]:
        nonlocal num_read
        for batch in token_budget_batches(windows, budget, packed=packed):
            num_read += num_tokens(batch, packed=packed)
            yield batch

    token_budget.token_budget_batches = batches

    def score(texts: Sequence[str]) -> list[float]:
        nonlocal num_read
        num_read = 0
        return [_score(found) for found in scorer.score(texts)]

    score.num_read = lambda: num_read  # type: ignore[attr-defined]
    score.batch_tokens = lambda: scorer.max_batch_tokens  # type: ignore[attr-defined]
    return score


def _score(found: DocumentScore) -> float:
    """The document's score; RuntimeError where it has none, so that a fast failure is no fast contender."""
    if found.influence_score is None:
        raise RuntimeError(
            f"a document of {found.num_tokens} tokens has no score: {found.status}, {found.error_message}"
        )
    return found.influence_score


def _multiply_in_8_bits(model: Any) -> None:
    """FP8 products in the decoder layers, by torchao, in place.

    A scale a row: of one for a whole tensor, a later token would change the rounding of those before it, and the scorer
    refuses such a model.
    """
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    quantize_(model.model.layers, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()))
