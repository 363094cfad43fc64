"""Which architectures can be masked exactly, decided by the configuration before any weight is loaded."""

from __future__ import annotations

from typing import Any

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

SINKS = "its attention has learned sinks, so zero queries do not give equal weights"
ALIBI = "it adds position biases (ALiBi) to the attention scores, so zero queries do not give equal weights"
RECURRENT = "it has recurrent or linear-attention layers, which have no attention weights to make equal"
SOFT_CAP = "it caps its attention scores, which the fused attention kernels cannot do"
DIFFERENTIAL = "its heads are differences of two softmaxes, so zero queries do not give equal weights"
UNREACHABLE = "transformers computes its attention in the model's own code, where no mask of ours can act"

REFUSED_MODEL_TYPES = {
    "gpt_oss": SINKS,
    "bloom": ALIBI,
    "mpt": ALIBI,
    "gemma2": SOFT_CAP,
    "diffllama": DIFFERENTIAL,
    "mamba": RECURRENT,
    "mamba2": RECURRENT,
    "falcon_mamba": RECURRENT,
    "rwkv": RECURRENT,
    "jamba": RECURRENT,
    "bamba": RECURRENT,
    "zamba": RECURRENT,
    "zamba2": RECURRENT,
    "recurrent_gemma": RECURRENT,
}
# A hybrid model's layer types with attention. A masked head of a chunked or sliding layer is uniform over what it sees.
ATTENTION_LAYER_TYPES = {"full_attention", "sliding_attention", "chunked_attention", "attention"}
LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}


def check_architecture(config: Any) -> None:
    """Raise ValueError, with the architecture and the reason, where a head mask would not be exact."""
    reason = REFUSED_MODEL_TYPES.get(config.model_type)
    if getattr(config, "alibi", False):
        reason = ALIBI
    if getattr(config, "attn_logit_softcapping", None) is not None:
        reason = SOFT_CAP
    if set(getattr(config, "layer_types", None) or ()) - ATTENTION_LAYER_TYPES:
        reason = RECURRENT
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if reason is None and model_class is not None and not model_class._can_set_attn_implementation():
        reason = UNREACHABLE
    if reason is not None:
        raise refusal(config.model_type, reason)


def refusal(model_type: str, reason: str) -> ValueError:
    """The error for an architecture whose masks are not exact."""
    return ValueError(
        f"architecture {model_type!r} is refused: {reason}; choose a model with plain softmax attention, "
        "such as Llama, Qwen, OLMo-2, Phi-3, Gemma-3, GPT-NeoX or GPT-2"
    )


def max_exact_window(config: Any) -> int:
    """The longest window, in tokens, in which a token's loss does not depend on how far its batch is padded.

    Dynamic and long rotary scalings change the rotation of every position once a batch is longer than the original
    context, so that a document's loss would depend on its neighbours' lengths.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    # Where there are several kinds of layers, each kind has parameters of its own, nested one level deeper.
    ropes = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    windows = [config.max_position_embeddings]
    for rope in ropes:
        if rope.get("rope_type") in LENGTH_DEPENDENT_ROPE:
            original = rope.get("original_max_position_embeddings")
            windows.append(original or getattr(config, "original_max_position_embeddings", windows[0]))
    return int(min(windows))
