"""A model's LM head: from final hidden states to logits, a slice of the vocabulary at a time.

Shapes: N rows of hidden states, C hidden size, V vocabulary entries, W entries of one slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from udfs.precision import HALF_PRECISION


class LMHead:
    """The model's own map from final hidden states to logits, with its scaling and capping."""

    def __init__(self, model: Any) -> None:
        self._module = model.get_output_embeddings()
        config = model.config.get_text_config()
        self.vocab_size: int = getattr(self._module, "out_features", config.vocab_size)
        self._cap = getattr(config, "final_logit_softcapping", None)
        self._divisor = getattr(config, "logits_scaling", None)
        self._factor = getattr(config, "logit_scale", None)
        # A subclass, such as a quantised one, may store its weights in another form, so it is only called as a whole.
        self.can_slice = type(self._module) is torch.nn.Linear

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (N, V) of hidden (N, C) over the whole vocabulary, in the module's own dtype."""
        return self._finish(self._module(hidden))

    def slices(self, hidden: Tensor, num_entries: int) -> Iterator[tuple[int, Tensor]]:
        """(first entry, float32 logits (N, W)) of consecutive slices of the vocabulary, each of at most num_entries.

        The logits are those of the model, except where rounds() is true. A head that cannot be sliced yields all of its
        logits (N, V) at once, in its own dtype.
        """
        if not self.can_slice:
            yield 0, self(hidden)
            return
        weight, bias = self._module.weight, self._module.bias  # (V, C), (V,) or None
        hidden = hidden.to(weight.dtype)
        for first in range(0, len(weight), num_entries):
            entries = slice(first, first + num_entries)
            logits = _product(hidden, weight[entries])
            yield first, self._finish(logits if bias is None else logits + bias[entries].float())

    def rounds(self, hidden: Tensor) -> bool:
        """Whether slices of hidden's logits are rounded to half precision.

        Only CUDA multiplies half-precision matrices into float32.
        """
        return self.can_slice and not hidden.is_cuda and self._module.weight.dtype in HALF_PRECISION

    def exact(self, hidden: Tensor, entries: Tensor) -> Tensor:
        """Float32 logits (N,) of hidden (N, C), one entry (N,) per row; only for a head that can be sliced."""
        weight, bias = self._module.weight, self._module.bias
        logits = (hidden.to(weight.dtype).float() * weight[entries].float()).sum(-1)
        return self._finish(logits if bias is None else logits + bias[entries].float())

    def _finish(self, logits: Tensor) -> Tensor:
        if self._divisor is not None:
            logits = logits / self._divisor
        if self._factor is not None:
            logits = logits * self._factor
        if self._cap is not None:
            logits = torch.tanh(logits / self._cap) * self._cap
        return logits


def _product(hidden: Tensor, weight: Tensor) -> Tensor:
    """Logits (N, W) float32 of hidden (N, C) and weight (W, C), both of one dtype."""
    if hidden.is_cuda and weight.dtype != torch.float32:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return torch.nn.functional.linear(hidden, weight).float()
