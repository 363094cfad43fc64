"""The CPU or a GPU as a key of settings, and the way of small tensors from one to the other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def device_kind(device: torch.device) -> Literal["cpu", "cuda"]:
    """The key of settings that differ between CPUs and GPUs: every device that is no CPU counts as a GPU."""
    return "cpu" if device.type == "cpu" else "cuda"


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of the CPU tensor on device, made without waiting for what a GPU is still computing.

    Any shape and dtype. On a CPU it is the tensor itself.
    """
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
