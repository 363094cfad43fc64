"""The proof, on a few tokens of the loaded model, that packed windows have the losses that they have alone.

Shapes: B windows of one batch; each has two sums of losses, base and masked.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from udfs.memory import is_out_of_memory
from udfs.packing import Packing
from udfs.precision import product_dtype
from udfs.windows import Window


class BatchSums(Protocol):
    """Sums (2, B) float64 of the losses of B windows, base and masked, from one pass over all of them."""

    def __call__(self, batch: Sequence[Window], *, packed: bool) -> Tensor: ...  # noqa: D102


def packs_exactly(model: Any, batch_sums: BatchSums, packing: Packing, window: int, vocab_size: int) -> bool:
    """Whether packed windows have the losses that they have by themselves, whatever windows stand before them.

    Warns where the model could be packed by its masks, but is not exact or fails: padding costs speed, nothing else.
    Raises RuntimeError where memory is too little.
    """
    few = few_windows(3, window, vocab_size)
    padded = batch_sums(few, packed=False)
    if not packing.is_causal(window):
        return False
    try:
        if "position_ids" not in inspect.signature(model.base_model.forward).parameters:
            raise TypeError("the model takes no positions")
        packed = batch_sums(few, packed=True)
        beside_another = batch_sums(few_windows(13, window, vocab_size), packed=True)
        _check_same(
            padded,
            packed,
            beside_another=beside_another,
            tolerance=1e-4 if product_dtype(model) == torch.float32 else 5e-3,
        )
    except (ImportError, RuntimeError, AttributeError, TypeError, LookupError, ValueError, AssertionError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        # Such as a GPU that lacks the kernel, or a model that reads the mask.
        warnings.warn(f"batches are padded, since windows cannot be packed: {str(error)[:200]}", stacklevel=2)
        return False
    return True


def few_windows(first_token: int, window: int, vocab_size: int) -> list[Window]:
    """Two short windows of consecutive token ids: the first from first_token on, the second from 3 on."""
    return [
        Window(0, [number % vocab_size for number in range(begin, begin + length)])
        for begin, length in ((first_token, min(24, window)), (3, min(16, window)))
    ]


def _check_same(padded: Tensor, packed: Tensor, beside_another: Tensor, tolerance: float) -> None:
    """Raise ValueError unless the sums (2, 2) agree to the relative tolerance.

    beside_another: the packed sums where another window stands before the second one, whose sums must stay.
    """
    if not torch.allclose(packed[:, 1], beside_another[:, 1], rtol=tolerance / 5):
        raise ValueError("a window's losses change with the window before it")
    if not torch.allclose(packed, padded, rtol=tolerance):
        raise ValueError(f"losses of {packed.tolist()} instead of {padded.tolist()}")
