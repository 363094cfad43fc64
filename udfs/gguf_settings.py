"""Settings of a GGUF file that change what a model computes: transformers reads some, and silently ignores others."""

from __future__ import annotations

import math
from typing import Any

from udfs.gguf_file import field

EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
# For each: the configuration's names for it, and the values that have no effect.
SETTINGS: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
    "attention.causal": ((), (True,)),
    "attention.key_length": (("head_dim",), ()),
    "attention.value_length": (("head_dim",), ()),
    "attention.layer_norm_epsilon": (EPSILONS, ()),
    "attention.layer_norm_rms_epsilon": (EPSILONS, ()),
    "attention.sliding_window": (("sliding_window",), (0,)),
    "attention.scale": (("attention_multiplier",), (0.0,)),
    "attention.clamp_kqv": (("clip_qkv",), (0.0,)),
    "attention.max_alibi_bias": ((), (0.0,)),
    "attn_logit_softcapping": (("attn_logit_softcapping",), (0.0,)),
    "final_logit_softcapping": (("final_logit_softcapping",), (0.0,)),
    "logit_scale": (("logit_scale", "logits_scaling"), (0.0, 1.0)),
    "embedding_scale": (("embedding_multiplier",), (0.0, 1.0)),
    "residual_scale": (("residual_multiplier",), (0.0, 1.0)),
    "expert_count": (("num_experts", "num_local_experts"), (0,)),
    "expert_used_count": (("num_experts_per_tok",), (0,)),
    "use_parallel_residual": (("use_parallel_residual",), ()),
}


def check_settings(reader: Any, config: Any) -> None:
    """Raise ValueError where the file has a setting that config does not have."""
    architecture = field(reader, "general.architecture", "")
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for key, (names, neutral) in SETTINGS.items():
        known = [getattr(config, name, None) for name in names]
        _check(reader, f"{architecture}.{key}", known=[*known, size] if "head_dim" in names else known, neutral=neutral)
    ropes = _ropes(config)
    bases = [rope.get("rope_theta") for rope in ropes] + [getattr(config, "rope_theta", None)]
    _check(reader, f"{architecture}.rope.freq_base", known=bases, neutral=())
    shares = [rope.get("partial_rotary_factor") for rope in ropes] + [getattr(config, "partial_rotary_factor", None)]
    dimensions = [int(size * share) for share in shares if share is not None] or [size]
    _check(reader, f"{architecture}.rope.dimension_count", known=dimensions, neutral=())
    key = f"{architecture}.rope.scaling.type"
    scaling, factor = field(reader, key, "none"), field(reader, f"{architecture}.rope.scaling.factor", 1.0)
    scaled = any(rope.get("rope_type", "default") != "default" for rope in ropes)
    if scaling != "none" and factor not in (0.0, 1.0) and not scaled:
        raise _unread(key, scaling)


def _ropes(config: Any) -> list[dict[str, Any]]:
    """The configuration's rotary settings: one set, or one per kind of layer."""
    rope = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in rope.values() if isinstance(value, dict)]
    return nested or [rope]


def _check(reader: Any, key: str, known: list[Any], neutral: tuple[Any, ...]) -> None:
    value = field(reader, key, None)
    if value is not None and value not in neutral and not any(_equal(value, other) for other in known):
        raise _unread(key, value)


def _equal(value: Any, known: Any) -> bool:
    return (
        isinstance(value, (int, float)) and isinstance(known, (int, float)) and math.isclose(value, known, rel_tol=1e-5)
    )


def _unread(key: str, value: Any) -> ValueError:
    return ValueError(
        f"its {key} is {ascii(value)[:40]}, which transformers does not read from GGUF, so that its losses would be "
        "another model's."
    )
