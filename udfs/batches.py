"""Batches of windows: longest first, within a budget of tokens per pass.

Shapes: B windows of a batch, T the tokens of the longest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from udfs.devices import to_device
from udfs.windows import Window


def token_budget_batches(
    windows: Sequence[Window], max_batch_tokens: int, *, packed: bool = False
) -> Iterator[list[Window]]:
    """Batches of which num_tokens is at most max_batch_tokens; a longer window is a batch of its own.

    The longest windows come first. So the windows of a batch have nearly the same length, which leaves little padding,
    and the batch most likely not to fit in memory is the first one.
    """
    batch: list[Window] = []
    total = 0
    for window in sorted(windows, key=lambda w: -len(w.token_ids)):
        length = len(window.token_ids)
        padded = len(batch[0].token_ids) * (len(batch) + 1) if batch else 0
        # Packed losses are unpacked into padded rows. These are much smaller than hidden states, but need a limit too.
        if batch and (max(total + length, padded // 16) if packed else padded) > max_batch_tokens:
            yield batch
            batch, total = [], 0
        batch.append(window)
        total += length
    if batch:
        yield batch


def num_tokens(batch: Sequence[Window], *, packed: bool) -> int:
    """Tokens in a pass over the batch, including padding unless it is packed."""
    lengths = [len(window.token_ids) for window in batch]
    return sum(lengths) if packed else len(lengths) * max(lengths)


def pad_right(batch: Sequence[Window], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(token ids (B, T) int64 on device, padded on the right with pad_id; lengths (B,) int64 on the CPU).

    Under a causal mask no token sees the padding after it, so no attention mask is needed.
    """
    lengths = [len(window.token_ids) for window in batch]
    rows = [window.token_ids + [pad_id] * (max(lengths) - len(window.token_ids)) for window in batch]
    return to_device(torch.tensor(rows), device), torch.tensor(lengths)
