"""What the contenders of two models share: the second one, with the heads' query rows at zero."""

from __future__ import annotations

import copy
from typing import Any

import torch

from tests.benchmarks.workloads import Workload, load


def load_both(workload: Workload, dtype: str | None) -> tuple[Any, Any, Any]:
    """(model, masked model, tokenizer): zero queries make a Llama's head attend to all it sees alike."""
    base, tokenizer = load(workload, dtype)
    masked = copy.deepcopy(base)
    for layer, head in workload.heads:
        attention = masked.model.layers[layer].self_attn
        rows = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
        attention.q_proj.weight = torch.nn.Parameter(attention.q_proj.weight.clone(), requires_grad=False)
        attention.q_proj.weight[rows] = 0
    return base, masked, tokenizer


def relative_rise(base_loss: float, masked_loss: float) -> float:
    """The score."""
    return (masked_loss - base_loss) / base_loss
