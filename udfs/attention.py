"""The one way into a model's attention: a registered function that masks heads, or lets an observer see what they read.

transformers calls a registered function with q, k and v after projection, bias, norm and rotary embedding, and with the
layer's module. That is the same point in every architecture, so the mask is exact for grouped queries, fused
projections, query norms and biases alike, without special code for any of them.

Shapes: B rows, R = 2B stacked rows, H query heads, G key/value heads, T positions, D head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from udfs.architectures import ALIBI, SINKS, SOFT_CAP, refusal
from udfs.head_mask import Head, MaskMode

MASK_MODES: tuple[MaskMode, ...] = ("uniform", "zero")

AttentionFunction = Callable[..., tuple[Tensor, None]]
MaskFunction = Callable[..., Tensor | None]
# Called with layer, q (B, H, T, D), k (B, G, T, D), v (B, G, T, D), visible (1, 1, T, T) bool or None for plain
# causality, and the output (B, T, H, D).
Observer = Callable[[int, Tensor, Tensor, Tensor, Tensor | None, Tensor], None]

_names = (f"attention_influence_{number}" for number in itertools.count())
_BIASES = {"s_aux": SINKS, "sinks": SINKS, "softcap": SOFT_CAP, "position_bias": ALIBI, "alibi": ALIBI}


def heads_by_layer(heads: Iterable[Head]) -> dict[int, list[int]]:
    """The heads of each layer that has any, in ascending order."""
    layers: dict[int, list[int]] = {}
    for layer, head in sorted(set(heads)):
        layers.setdefault(layer, []).append(head)
    return layers


def install_paired_mask(
    model: Any,
    heads: Iterable[Head],
    mode: MaskMode,
    observe: Observer | None = None,
    attention: AttentionFunction | None = None,
    mask: MaskFunction | None = None,
) -> Callable[[], None]:
    """Make one forward of B rows return 2B: the B rows as they are, then the same rows with the heads masked.

    The layers below the first masked one run on B rows only, which serve both halves. Mode uniform gives the masked
    heads equal attention weights over all visible positions (arXiv:2505.07293, App. C); mode zero makes their output 0.
    attention and mask compute the attention and the causal mask; by default plain_attention and one_mask_for_all_rows.
    Returns a function that removes the head mask. Raises ValueError for an unknown mode.
    """
    if mode not in MASK_MODES:
        raise ValueError(f"mask mode is {mode!r}; it must be one of {', '.join(MASK_MODES)}")
    masked = heads_by_layer(heads)
    first_masked_layer = decoder_layers(model)[min(masked)]
    restore = use_attention(
        model, _masking(masked, mode, observe=observe, attention=attention or plain_attention), mask
    )
    hook = first_masked_layer.register_forward_pre_hook(_stack_rows, with_kwargs=True)

    def remove() -> None:
        hook.remove()
        restore()

    return remove


def _masking(
    masked: dict[int, list[int]], mode: MaskMode, observe: Observer | None, attention: AttentionFunction
) -> AttentionFunction:
    """The attention function in whose second half of rows the masked heads of each layer are masked."""

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        layer_heads = masked.get(module.layer_idx)
        num_base_rows = query.shape[0] // 2
        if layer_heads and mode == "uniform":
            # Zero queries make every score 0, so that softmax is uniform over what the kernel lets the
            # row see. Values, output projection and the other heads of the group stay as they are.
            query = query.clone()  # (R, H, T, D)
            # One by one, because a list of indices is copied to a GPU, which makes the CPU wait for it.
            for head in layer_heads:
                query[num_base_rows:, head] = 0
        output, _ = attention(module, query, key, value, attention_mask, **kwargs)  # (R, T, H, D)
        if layer_heads and mode == "zero":
            for head in layer_heads:
                output[num_base_rows:, :, head] = 0
        if observe is not None:
            observe(module.layer_idx, query, key, value, attention_mask, output)
        return output, None

    return attend


def install_observer(model: Any, observe: Observer) -> Callable[[], None]:
    """Call observe after every layer's attention, which itself does not change; returns a function that ends this."""

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        output, _ = plain_attention(module, query, key, value, attention_mask, **kwargs)
        observe(module.layer_idx, query, key, value, attention_mask, output)
        return output, None

    return use_attention(model, attend)


def use_attention(model: Any, attend: AttentionFunction, mask: MaskFunction | None = None) -> Callable[[], None]:
    """Register attend for this model alone; returns a function that restores the model's former attention."""
    before = model.config._attn_implementation
    name = next(_names)
    # Compiled layers leave this function out: it is the only part that differs from layer to layer.
    AttentionInterface.register(name, torch.compiler.disable(attend))  # type: ignore[no-untyped-call]
    AttentionMaskInterface.register(name, mask or one_mask_for_all_rows)
    model.set_attn_implementation(name)

    def restore() -> None:
        model.set_attn_implementation(before)
        AttentionInterface._global_mapping.pop(name, None)
        AttentionMaskInterface._global_mapping.pop(name, None)

    return restore


def decoder_layers(model: Any) -> torch.nn.ModuleList:
    """The model's decoder layers, in order."""
    num_layers = model.config.get_text_config().num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == num_layers:
            return module
    raise refusal(model.config.model_type, f"its {num_layers} decoder layers were not found")


def plain_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """The attention that the model computes by itself: (R, T, H, D) of query (R, H, T, D), key and value (R, G, T, D).

    Raises ValueError where attention scores are more than q·k, such as with sinks or position biases.
    """
    for name, reason in _BIASES.items():
        if kwargs.get(name) is not None:
            raise refusal(module.config.model_type, reason)
    if value.is_cuda and value.dtype == torch.float32 and attention_mask is None:
        # CUDA's fused kernels support shared keys and values only in half precision; its other kernels would hold all
        # T x T weights.
        num_groups = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(num_groups, dim=1) for part in (key, value))
    # Rotary embeddings in float32 widened q and k (udfs/precision.py).
    query, key = query.to(value.dtype), key.to(value.dtype)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return output, None


def one_mask_for_all_rows(**kwargs: Any) -> Tensor | None:
    """The causal or sliding mask (1, 1, T, T) bool, or None where the kernel's own causal mask is enough.

    No row is padded on the left, so every row has the same mask. A mask of one row also fits the stacked rows, whose
    number the model does not know when it builds the mask.
    """
    mask: Tensor | None = sdpa_mask(**{**kwargs, "batch_size": 1})
    return mask


def _stack_rows(_layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Double the hidden states (B, T, C) -> (2B, T, C) that enter the first masked layer."""
    if args:
        return (torch.cat([args[0], args[0]]), *args[1:]), kwargs
    hidden_states = kwargs["hidden_states"]
    return args, {**kwargs, "hidden_states": torch.cat([hidden_states, hidden_states])}
