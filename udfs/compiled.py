"""Decoder layers as compiled kernels, a few for all layers, batches and lengths."""

from __future__ import annotations

from typing import Any

import torch

from udfs.attention import decoder_layers


def compile_layers(model: Any) -> None:
    """Compile each decoder layer in place, its attention function left as it is.

    The layers differ in their index and their weights alone, and only the attention function reads the index: kept
    out of the compiled part, it leaves the same graphs for all of them: one for a single row, as below the first masked
    layer, and one for more, with the numbers of rows and tokens as variables.
    """
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)


def check_compiled(before: torch.Tensor, after: torch.Tensor, tolerance: float) -> None:
    """Raise ValueError unless the sums of losses before compiling and after agree to the relative tolerance."""
    if not torch.allclose(before, after, rtol=tolerance):
        raise ValueError(
            f"the compiled model's losses {after.flatten().tolist()} differ from the model's own "
            f"{before.flatten().tolist()}; leave --compile out"
        )
