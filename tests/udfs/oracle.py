"""What a document's losses should be, by a route that shares no code with udfs/.

Two ordinary models: one as it is, one with the mask written into its weights. One document at a time, one
window at a time, eager attention, weights and full logits in float64, and a loop over the tokens.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch

Head = tuple[int, int]


@dataclass(frozen=True)
class Expected:
    num_tokens: int
    num_predicted_tokens: int
    num_windows: int
    base_loss: float
    masked_loss: float
    influence_score: float


class Oracle:
    """Losses of documents by two separate models, given the token ids that each of a document's windows starts with."""

    def __init__(
        self, model: Any, tokenizer: Any, heads: list[Head], mode: str, window: int, start: list[int] | None = None
    ):
        self.base = eager_double(model)
        self.masked = eager_double(model)
        for layer, head in heads:
            {"uniform": bake_uniform, "zero": bake_zero}[mode](self.masked, layer, head)
        self.tokenizer, self.window, self.start = tokenizer, window, start or []

    def score(self, text: str) -> Expected:
        token_ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        room = self.window - len(self.start)
        base, masked, windows = [], [], 0
        position = 0
        while position < len(token_ids):
            ids = self.start + token_ids[position : position + room]
            position += room
            if len(ids) < 2:
                continue
            windows += 1
            # Special tokens are no text: a second one is predicted, but not counted.
            skipped = max(0, len(self.start) - 1)
            base += next_token_losses(self.base, ids)[skipped:]
            masked += next_token_losses(self.masked, ids)[skipped:]
        base_loss, masked_loss = math.fsum(base) / len(base), math.fsum(masked) / len(masked)
        return Expected(
            num_tokens=len(token_ids),
            num_predicted_tokens=len(base),
            num_windows=windows,
            base_loss=base_loss,
            masked_loss=masked_loss,
            influence_score=(masked_loss - base_loss) / base_loss,
        )


def eager_double(model: Any) -> Any:
    """A fresh model of the same class with the same weights, in float64, with eager attention."""
    config = copy.deepcopy(model.config)
    config._attn_implementation = "eager"
    fresh = type(model)(config)
    fresh.load_state_dict(model.state_dict())
    assert fresh.config._attn_implementation == "eager"
    return fresh.double().eval()


@torch.no_grad()
def next_token_losses(model: Any, token_ids: list[int]) -> list[float]:
    """Minus the log-probability of each token but the first, in nats."""
    logits = model(torch.tensor([token_ids])).logits[0]
    assert logits.dtype == torch.float64
    losses = []
    for position in range(len(token_ids) - 1):
        log_probabilities = torch.log_softmax(logits[position], dim=-1)
        losses.append(-log_probabilities[token_ids[position + 1]].item())
    return losses


def attention_module(model: Any, layer: int) -> Any:
    kind = model.config.model_type
    if kind == "gpt2":
        return model.transformer.h[layer].attn
    if kind == "gpt_neox":
        return model.gpt_neox.layers[layer].attention
    return model.model.layers[layer].self_attn


@torch.no_grad()
def bake_uniform(model: Any, layer: int, head: int) -> None:
    """Write zero queries for one head into the weights, by the architecture's own layout."""
    config, attention = model.config, attention_module(model, layer)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rows = slice(head * size, (head + 1) * size)
    if config.model_type == "olmo2":
        attention.q_norm.weight[rows] = 0  # the norm spans all heads: zero rows before it would rescale the others
    elif config.model_type == "phi3":
        attention.qkv_proj.weight[rows] = 0  # all queries come first
    elif config.model_type == "gpt_neox":
        first = head * 3 * size  # each head's query, key and value lie together
        attention.query_key_value.weight[first : first + size] = 0
        attention.query_key_value.bias[first : first + size] = 0
    elif config.model_type == "gpt2":
        attention.c_attn.weight[:, rows] = 0  # Conv1D is transposed
        attention.c_attn.bias[rows] = 0
    else:
        attention.q_proj.weight[rows] = 0
        if attention.q_proj.bias is not None:
            attention.q_proj.bias[rows] = 0


@torch.no_grad()
def bake_zero(model: Any, layer: int, head: int) -> None:
    """Take one head's part out of the output projection."""
    config, attention = model.config, attention_module(model, layer)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    columns = slice(head * size, (head + 1) * size)
    if config.model_type == "gpt2":
        attention.c_proj.weight[columns] = 0
    elif config.model_type == "gpt_neox":
        attention.dense.weight[:, columns] = 0
    else:
        attention.o_proj.weight[:, columns] = 0
