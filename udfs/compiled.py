"""Decoder layers compiled into a few kernels that serve all layers, batches and lengths."""

from __future__ import annotations

from typing import Any

import torch

from udfs.attention import decoder_layers


def compile_layers(model: Any) -> None:
    """Compile each decoder layer in place, without its attention function.

    The layers differ only in their index and their weights, and only the attention function reads the index. Without
    it, all layers share the same graphs: one for a single row, as below the first masked layer, and one for several
    rows. In both, the numbers of rows and tokens are variables.
    """
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)


def check_compiled(before: torch.Tensor, after: torch.Tensor, tolerance: float) -> None:
    """Raise ValueError unless two tensors of summed losses, of one shape, agree to the relative tolerance."""
    if not torch.allclose(before, after, rtol=tolerance):
        raise ValueError(
            f"the compiled model's losses {after.flatten().tolist()} differ from the model's own "
            f"{before.flatten().tolist()}; leave --compile out"
        )
