"""Passes over windows within a budget of tokens, which is halved whenever memory runs out.

Shapes: B windows of one batch; each has two sums of losses, base and masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from udfs.batches import token_budget_batches
from udfs.memory import is_out_of_memory
from udfs.windows import Window


def sums_within_budget(
    windows: Sequence[Window], budget: int, batch_sums: Callable[[Sequence[Window]], Tensor], *, packed: bool
) -> tuple[list[tuple[float, float] | None], int]:
    """(each window's base and masked sum, in order; the budget, halved where memory was too little).

    batch_sums: from B windows to their sums (2, B) float64. None stands for a window that does not fit in memory by
    itself. What batch_sums raises is raised here too, unless it says that memory is too little.
    """
    index_of = {id(window): index for index, window in enumerate(windows)}
    passes: list[tuple[list[int], Tensor]] = []
    pending = list(windows)
    while pending:
        done: set[int] = set()
        for batch in token_budget_batches(pending, budget, packed=packed):
            sums = _sums_or_none(batch, batch_sums)
            if sums is None and len(batch) > 1:
                # Half of the budget, for all that is pending, rather than half of this batch: it may be the small last
                # one, at a moment when other programs need the memory.
                budget = max(1, budget // 2)
                break
            done.update(id(window) for window in batch)
            if sums is not None:
                passes.append(([index_of[id(window)] for window in batch], sums))
        pending = [window for window in pending if id(window) not in done]
    result: list[tuple[float, float] | None] = [None] * len(windows)
    # The only place that waits for a GPU, once for all passes: each was launched while the GPU computed the one before.
    for indices, sums in passes:
        for index, (base_sum, masked_sum) in zip(indices, sums.T.tolist(), strict=True):
            result[index] = (base_sum, masked_sum)
    return result, budget


def _sums_or_none(batch: Sequence[Window], batch_sums: Callable[[Sequence[Window]], Tensor]) -> Tensor | None:
    """The batch's sums (2, B), or None where it does not fit in memory."""
    try:
        return batch_sums(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Not inside the except block, where the error still holds the tensors of the pass that failed.
    torch.cuda.empty_cache()  # does nothing where no GPU is in use
    return None
