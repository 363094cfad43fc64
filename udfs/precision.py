"""A 16-bit model's weights in float32 for a while: what overflows in 16 bits need not be lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Hold the model's 16-bit weights in float32 inside the block; they are the same bits again after it.

    Each 16-bit number has an exact float32, so nothing is lost on the way. Needs twice the memory of the weights.
    """
    narrow = [
        (tensor, tensor.dtype)
        for tensor in itertools.chain(model.parameters(), model.buffers())
        if tensor.dtype in (torch.bfloat16, torch.float16)
    ]
    try:
        for tensor, _ in narrow:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, dtype in narrow:
            tensor.data = tensor.data.to(dtype)
