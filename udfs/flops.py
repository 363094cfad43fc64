"""The floating-point operations that scoring needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def useful_flops(config: Any, first_masked_layer: int, num_tokens: Iterable[int]) -> float:
    """Operations for both losses of windows with num_tokens tokens each, the shared layers counted once.

    Each layer needs two operations per weight and token, and causal attention, in which each token sees half of its
    window on average. Additional work of a scorer, such as running the lower layers twice, does not count.
    """
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    num_kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    heads, kv_heads = config.num_attention_heads * head_dim, num_kv_heads * head_dim
    layer_weights = config.hidden_size * (2 * heads + 2 * kv_heads) + _mlp_weights(config)
    passes = first_masked_layer + 2 * (config.num_hidden_layers - first_masked_layer)
    total = 0.0
    for length in num_tokens:
        layer = 2 * layer_weights * length + 2 * length**2 * heads
        vocabulary = 2 * config.hidden_size * config.vocab_size * (length - 1)
        total += passes * layer + 2 * vocabulary
    return total


def _mlp_weights(config: Any) -> int:
    """The weights of a layer's MLP: three matrices where its width has Llama's name (a gated MLP), else two."""
    hidden: int = config.hidden_size
    if width := getattr(config, "intermediate_size", None):
        return 3 * hidden * int(width)
    widths = (getattr(config, name, None) for name in ("n_inner", "ffn_dim", "ffn_hidden_size"))
    return 2 * hidden * int(next((width for width in widths if width), 4 * hidden))
