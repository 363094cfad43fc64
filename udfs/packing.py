"""Windows behind one another in one row, none of which sees another: no padding, however their lengths differ."""

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
    """The windows of the pass that is under way, for an attention that keeps them apart."""

    def __init__(self) -> None:
        self.lengths: Sequence[int] = ()
        self._bounds: Tensor | None = None
        # Of each mask that the model asked for: whether it is plainly causal, else how many tokens back it lets see.
        self._masks: set[tuple[bool, int | None]] = set()

    def begin(self, lengths: Sequence[int], device: torch.device) -> None:
        """From here on a row holds windows of these lengths; of none, where it is one window and its padding."""
        self.lengths = lengths
        if device.type == "cuda":
            # Of both rows, the masked one behind the base one; the first half alone for the layers that have one row.
            ends = torch.tensor([0, *itertools.accumulate([*lengths, *lengths])], dtype=torch.int32)
            self._bounds = to_device(ends, device)

    def mask(self, **kwargs: Any) -> Tensor | None:
        """one_mask_for_all_rows, with a note of what the model asked for."""
        self._masks.add((kwargs.get("mask_function") is causal_mask_function, kwargs.get("local_size")))
        return one_mask_for_all_rows(**kwargs)

    def is_causal(self, window: int) -> bool:
        """Whether, in the passes so far, each token of a window of so many could see all before it in every layer."""
        return bool(self._masks) and all(
            is_plain if reach is None else reach >= window for is_plain, reach in self._masks
        )

    def attention(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """plain_attention within each window; (R, T, H, D) of query (R, H, T, D), with R 1 or 2 where T is packed."""
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
        from torch.nn.attention.varlen import varlen_attn

        assert self._bounds is not None
        num_rows, num_tokens = value.shape[0], value.shape[2]
        bounds, longest = self._bounds[: num_rows * len(self.lengths) + 1], max(self.lengths)
        q, k, v = (part.to(value.dtype).transpose(1, 2).flatten(0, 1) for part in (query, key, value))  # (R T, H, D)
        output = varlen_attn(
            q, k, v, bounds, bounds, longest, longest, scale=scale, window_size=(-1, 0), **_told(varlen_attn)
        )
        assert isinstance(output, Tensor)
        return output.view(num_rows, num_tokens, *output.shape[1:])


@functools.cache
def _told(varlen_attn: Any) -> dict[str, Any]:
    """What torch 2.12 wants to be told where keys are fewer than queries; before, it saw that by itself."""
    return {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


def pack(batch: Sequence[Window], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(token ids (1, N) and their positions (1, N) in their windows, int64 on device; lengths (B,) on the CPU)."""
    lengths = [len(window.token_ids) for window in batch]
    token_ids = [token_id for window in batch for token_id in window.token_ids]
    positions = torch.cat([torch.arange(length) for length in lengths])
    return to_device(torch.tensor([token_ids]), device), to_device(positions[None], device), torch.tensor(lengths)


def unpack(losses: Tensor, lengths: Tensor) -> Tensor:
    """(R B, T-1) of packed losses (R, N-1): a row a window, the windows of a packed row one after another.

    lengths (B,) on the CPU. Beyond a window's own losses, and between two windows, lie other windows' or none: row_sums
    leaves them out.
    """
    starts = lengths.cumsum(0) - lengths  # (B,)
    places = starts[:, None] + torch.arange(int(lengths.max()) - 1)  # (B, T-1)
    places = to_device(places.clamp(max=max(0, losses.shape[1] - 1)), losses.device)
    return losses[:, places].flatten(0, 1)
