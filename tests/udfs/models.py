"""Tiny models with random weights, one for each way that architectures differ inside attention.

Transformers starts weights so small that attention is nearly uniform, biases at 0 and norms at 1; a mask that
forgets a bias or a norm would then go unnoticed. These weights make attention sharp and leave nothing at 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

VOCAB_SIZE = 320
NUM_LAYERS = 3
NUM_HEADS = 4

SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": NUM_HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
NO_TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
# Half a period of the tests' windows, so that a sliding layer forgets most of each.
SLIDING_WINDOW = 5


def _gemma3(**changes: Any) -> Any:
    settings: dict[str, Any] = {
        **SHAPE,
        **NO_TOKENS,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": SLIDING_WINDOW,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    }
    return transformers.Gemma3TextConfig(**{**settings, **changes})


CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**GROUPED, **NO_TOKENS),
    "mistral": lambda: transformers.MistralConfig(**GROUPED, **NO_TOKENS, sliding_window=SLIDING_WINDOW),
    "qwen2": lambda: transformers.Qwen2Config(**GROUPED, **NO_TOKENS),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED, **NO_TOKENS, head_dim=8),
    "gemma3": _gemma3,
    "olmo2": lambda: transformers.Olmo2Config(**GROUPED, **NO_TOKENS),
    "phi3": lambda: transformers.Phi3Config(**GROUPED, **NO_TOKENS),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SHAPE, **NO_TOKENS),
    "gpt2": lambda: transformers.GPT2Config(
        **NO_TOKENS, vocab_size=VOCAB_SIZE, n_embd=32, n_layer=NUM_LAYERS, n_head=NUM_HEADS, n_positions=128
    ),
    "granite": lambda: transformers.GraniteConfig(
        **GROUPED,
        **NO_TOKENS,
        embedding_multiplier=1.5,
        attention_multiplier=0.2,
        residual_multiplier=0.7,
        logits_scaling=2.0,
    ),
    "smollm3": lambda: transformers.SmolLM3Config(**GROUPED, **NO_TOKENS, no_rope_layers=[1, 0, 1]),
}
ARCHITECTURES = sorted(CONFIGS)

QUERY_AND_KEY = ("q_proj", "k_proj", "qkv_proj", "query_key_value", "c_attn")


def gemma3_with_its_real_vocabulary() -> Any:
    """A Gemma-3 of one tiny layer with its real number of vocabulary entries."""
    config = _gemma3(vocab_size=262_144, hidden_size=16, num_hidden_layers=1, layer_types=["full_attention"])
    return with_random_weights(transformers.AutoModelForCausalLM.from_config(config), seed=0)


def tiny_model(architecture: str, seed: int = 0) -> Any:
    """A float32 model of three layers and four heads, in eval mode."""
    return with_random_weights(transformers.AutoModelForCausalLM.from_config(CONFIGS[architecture]()), seed)


def with_random_weights(model: Any, seed: int) -> Any:
    """The model with every weight drawn anew, large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_drawn(name, parameter, generator))
            if model.config.model_type == "gemma3_text" and parameter.ndim == 1:
                parameter.sub_(1)  # Gemma's norms multiply by 1 + weight
    return model.eval().requires_grad_(False)


def _drawn(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if parameter.ndim == 1 and name.endswith("bias"):
        return torch.randn(parameter.shape, generator=generator) * 0.5
    if parameter.ndim == 1:
        # Where queries are normalised, the norm's weight alone decides how sharp attention is.
        gain = 2.5 if "q_norm" in name else 1.0
        return (torch.rand(parameter.shape, generator=generator) + 0.5) * gain
    if "embed" in name or "wte" in name or "wpe" in name or "lm_head" in name:
        return torch.randn(parameter.shape, generator=generator) * 0.4
    # The hidden width is the smaller side of every projection here, in Linear's layout and Conv1D's alike.
    gain = 2.0 if any(part in name for part in QUERY_AND_KEY) else 1.0
    return torch.randn(parameter.shape, generator=generator) * gain * min(parameter.shape) ** -0.5
