"""Packed windows: several in one row, none of which sees another, without padding however their lengths differ.

Shapes: B windows, N tokens of all of them, T tokens of the longest one, R rows (1, or 2 for base and masked), H query
heads, G key/value heads, D head size. Inside attention functions, T is all positions of a row.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import causal_mask_function

from udfs.attention import one_mask_for_all_rows, plain_attention
from udfs.devices import to_device
from udfs.windows import Window


class Packing:
    """Attention within the windows of the current pass, and a record of the masks that the model asks for."""

    def __init__(self) -> None:
        self.lengths: Sequence[int] = ()
        self._bounds: Tensor | None = None
        # For each mask that the model asked for: whether it is plainly causal, and how many tokens back it lets see.
        self._masks: set[tuple[bool, int | None]] = set()

    def begin(self, lengths: Sequence[int], device: torch.device) -> None:
        """Begin a pass whose row packs windows of these lengths; without lengths, each row is a window with padding."""
        self.lengths = lengths
        if device.type == "cuda":
            # The bounds of both rows, base then masked. Layers that have one row use the first half.
            ends = torch.tensor([0, *itertools.accumulate([*lengths, *lengths])], dtype=torch.int32)
            self._bounds = to_device(ends, device)  # (2B + 1,)

    def mask(self, **kwargs: Any) -> Tensor | None:
        """The mask of one_mask_for_all_rows; records what the model asked for."""
        self._masks.add((kwargs.get("mask_function") is causal_mask_function, kwargs.get("local_size")))
        return one_mask_for_all_rows(**kwargs)

    def is_causal(self, window: int) -> bool:
        """Whether, in all passes so far, each token of a window of this length could see all earlier ones."""
        return bool(self._masks) and all(
            is_plain if reach is None else reach >= window for is_plain, reach in self._masks
        )

    def attention(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """plain_attention within each window: (R, T, H, D) of query (R, H, T, D), key and value (R, G, T, D).

        Raises RuntimeError where a layer brings a mask of its own to a packed row.
        """
        if self.lengths and attention_mask is not None and attention_mask.numel() != 1:
            raise RuntimeError("a layer has made a mask of its own")
        if not self.lengths:
            return plain_attention(module, query, key, value, attention_mask, **kwargs)
        if value.is_cuda:
            return self._varlen(query, key, value, kwargs.get("scaling")), None
        parts = [torch.split(part, list(self.lengths), dim=2) for part in (query, key, value)]
        outputs = [plain_attention(module, q, k, v, None, **kwargs)[0] for q, k, v in zip(*parts, strict=True)]
        return torch.cat(outputs, dim=1), None

    def _varlen(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """The attention by torch's kernel for sequences of different lengths; shapes as in attention()."""
        from torch.nn.attention.varlen import varlen_attn

        assert self._bounds is not None
        num_rows, num_tokens = value.shape[0], value.shape[2]
        bounds, longest = self._bounds[: num_rows * len(self.lengths) + 1], max(self.lengths)
        q, k, v = (part.to(value.dtype).transpose(1, 2).flatten(0, 1) for part in (query, key, value))  # (R T, H, D)
        output = varlen_attn(
            q, k, v, bounds, bounds, longest, longest, scale=scale, window_size=(-1, 0), **_grouped_queries(varlen_attn)
        )
        assert isinstance(output, Tensor)
        return output.view(num_rows, num_tokens, *output.shape[1:])  # (R, T, H, D)


@functools.cache
def _grouped_queries(varlen_attn: Any) -> dict[str, Any]:
    """The argument for fewer key/value heads than query heads: torch 2.12 requires it, older versions lack it."""
    return {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


def pack(batch: Sequence[Window], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(token ids (1, N) and positions within windows (1, N), int64 on device; lengths (B,) int64 on the CPU)."""
    lengths = [len(window.token_ids) for window in batch]
    token_ids = [token_id for window in batch for token_id in window.token_ids]
    positions = torch.cat([torch.arange(length) for length in lengths])
    return to_device(torch.tensor([token_ids]), device), to_device(positions[None], device), torch.tensor(lengths)


def unpack(losses: Tensor, lengths: Tensor) -> Tensor:
    """Packed losses (R, N-1) as (R B, T-1): one row per window, first all windows of the first packed row.

    lengths (B,) int64 on the CPU. The entries of a row beyond its window's length-1 losses have no meaning; row_sums
    leaves them out.
    """
    starts = lengths.cumsum(0) - lengths  # (B,)
    indices = starts[:, None] + torch.arange(int(lengths.max()) - 1)  # (B, T-1)
    indices = to_device(indices.clamp(max=max(0, losses.shape[1] - 1)), losses.device)
    return losses[:, indices].flatten(0, 1)
