"""The proof, on a few tokens of the loaded model and before any work, that its heads are masked exactly.

It tests what no list of architectures can promise: that every layer uses our attention function, that unmasked rows are
the model's own, that no token sees later ones, and that the masked heads of the masked rows are what the mask says.

Shapes: B rows, H query heads, G key/value heads, T positions, D head size, C hidden size, V vocabulary entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from udfs.architectures import refusal
from udfs.attention import heads_by_layer, install_paired_mask
from udfs.head_mask import Head, MaskMode
from udfs.lm_head import LMHead
from udfs.memory import is_out_of_memory
from udfs.precision import product_dtype

NUM_TOKENS = 12
# They leave room for the dtype's rounding only: in exact arithmetic there would be no difference.
TOLERANCES = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}


@torch.inference_mode()
def verify_exact(model: Any, heads: Iterable[Head], mode: MaskMode) -> None:
    """Raise ValueError, naming the architecture, unless masking these heads of this model is exact.

    The model is the same again afterwards, in any case.
    """
    config = model.config.get_text_config()
    tolerance = TOLERANCES[product_dtype(model)]
    device, vocab_size = next(model.parameters()).device, model.get_input_embeddings().num_embeddings
    token_ids = (torch.arange(NUM_TOKENS, device=device) * 7919 + 11)[None] % vocab_size  # (1, T)
    own = _own_logits(model, token_ids, vocab_size=vocab_size, tolerance=tolerance)  # (1, T, V)
    hidden, layers_seen, inexact = _paired_pass(model, heads, mode=mode, token_ids=token_ids, tolerance=tolerance)
    num_layers = config.num_hidden_layers
    if layers_seen != set(range(num_layers)):
        missing = sorted(set(range(num_layers)) - layers_seen)
        raise refusal(
            config.model_type, f"the attention of {len(missing)} of its {num_layers} layers cannot be reached"
        )
    if inexact:
        raise refusal(config.model_type, f"the masked heads of layers {inexact[:5]} are not what mode {mode!r} says")
    if hidden.shape[0] != 2 or not _close(own, LMHead(model)(hidden[:1]).float(), tolerance):
        raise refusal(config.model_type, "its unmasked rows in the paired pass differ from the model by itself")


def _own_logits(model: Any, token_ids: Tensor, vocab_size: int, tolerance: float) -> Tensor:
    """The unmasked model's logits (1, T, V) float32 of token_ids (1, T).

    Raises ValueError where they are not finite, or where a token sees later ones.
    """
    model_type = model.config.get_text_config().model_type
    own: Tensor = model(input_ids=token_ids, use_cache=False).logits.float()
    if not own.isfinite().all():
        raise ValueError(
            f"the {model_type} model's own logits are not finite: its weights are damaged, or overflow in "
            f"{product_dtype(model)}; try --dtype float32, or download the model again"
        )
    changed = token_ids.clone()
    changed[0, -1] = (changed[0, -1] + 1) % vocab_size
    if not _close(own[:, :-1], model(input_ids=changed, use_cache=False).logits[:, :-1], tolerance):
        raise refusal(model_type, "its tokens see later ones, so that its losses predict nothing")
    return own


def _paired_pass(
    model: Any, heads: Iterable[Head], mode: MaskMode, token_ids: Tensor, tolerance: float
) -> tuple[Tensor, set[int], list[int]]:
    """(hidden states (2, T, C) of token_ids (1, T); the layers whose attention was ours; those masked wrongly)."""
    masked = heads_by_layer(heads)
    layers_seen: set[int] = set()
    inexact: list[int] = []

    def check_heads(layer: int, _q: Tensor, _k: Tensor, value: Tensor, visible: Tensor | None, output: Tensor) -> None:
        layers_seen.add(layer)
        if layer in masked:
            found = output[1:, :, masked[layer]]  # (1, T, h, D), h masked heads
            expected = _mean_of_visible_values(value[1:], visible, output.shape[2])[:, :, masked[layer]]
            if not _close(expected if mode == "uniform" else torch.zeros_like(found), found, tolerance):
                inexact.append(layer)

    remove = install_paired_mask(model, heads, mode, observe=check_heads)
    try:
        hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
    except (RuntimeError, AttributeError, TypeError, LookupError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        reason = f"the paired pass fails in it ({str(error).splitlines()[0][:120]})"
        raise refusal(model.config.get_text_config().model_type, reason) from error
    finally:
        remove()
    return hidden, layers_seen, inexact


def _mean_of_visible_values(value: Tensor, visible: Tensor | None, num_heads: int) -> Tensor:
    """Means (B, T, H, D) float32 of value (B, G, T, D) over the positions that each position sees."""
    num_tokens = value.shape[2]
    if visible is None:
        visible = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=value.device).tril()
    weights = visible.float() / visible.float().sum(-1, keepdim=True)  # (..., T, T)
    means = weights @ value.float()  # (B, G, T, D)
    return means.repeat_interleave(num_heads // value.shape[1], dim=1).transpose(1, 2)


def _close(expected: Tensor, found: Tensor, tolerance: float) -> bool:
    """Whether the largest difference is within tolerance of the largest value."""
    scale = expected.float().abs().max().clamp_min(1e-6)
    return bool((expected.float() - found.float()).abs().max() <= tolerance * scale)
