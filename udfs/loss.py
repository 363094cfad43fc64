"""Next-token cross-entropy: the only place that shifts labels, or turns hidden states into logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LogitsFunction = Callable[[Tensor], Tensor]

# Float32 logits held at a time. Full logits of a 4,096-token window over 128k words are 2 GB, and twice that paired.
MAX_LOGITS_BYTES = 64 * 2**20


def logits_function(model: Any) -> LogitsFunction:
    """A function from final hidden states (N, C) to the model's own logits (N, V), with its scaling and capping."""
    head = model.get_output_embeddings()
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    divisor = getattr(config, "logits_scaling", None)
    factor = getattr(config, "logit_scale", None)

    def logits(hidden: Tensor) -> Tensor:
        scores: Tensor = head(hidden)
        if divisor is not None:
            scores = scores / divisor
        if factor is not None:
            scores = scores * factor
        if cap is not None:
            scores = torch.tanh(scores / cap) * cap
        return scores

    return logits


def next_token_losses(hidden: Tensor, input_ids: Tensor, lengths: Tensor, logits: LogitsFunction) -> Tensor:
    """Cross-entropy of every token after the first, in nats.

    hidden (R, T, C) any float, where R is a multiple of B; input_ids (B, T), right-padded; lengths (B,),
    tokens a row. Returns (R, T-1) float32: entry t is the loss of token t+1, which row t predicts; NaN where
    the target is padding, so that a forgotten mask shows. Full logits are never held.
    Source: arXiv:2505.07293.
    """
    num_copies = hidden.shape[0] // input_ids.shape[0]
    is_target = target_positions(lengths, input_ids.shape[1]).repeat(num_copies, 1)  # (R, T-1)
    targets = input_ids[:, 1:].repeat(num_copies, 1)[is_target]  # (N,)
    losses = hidden.new_full(is_target.shape, torch.nan, dtype=torch.float32)  # (R, T-1)
    losses[is_target] = _cross_entropy(hidden[:, :-1][is_target], targets, logits)
    return losses


def target_positions(lengths: Tensor, num_positions: int) -> Tensor:
    """(B, T-1) bool: where token t+1 is one of the row's lengths (B,) tokens, not padding."""
    return torch.arange(1, num_positions, device=lengths.device) < lengths[:, None]


def row_sums(losses: Tensor, lengths: Tensor) -> Tensor:
    """Sums (R,) float64 of the losses (R, T-1) over each row's own tokens; lengths (B,), R a multiple of B.

    A loss that is NaN although its target is real makes the row's sum NaN.
    """
    is_target = target_positions(lengths, losses.shape[1] + 1).repeat(losses.shape[0] // len(lengths), 1)
    return losses.double().masked_fill(~is_target, 0).sum(1)


def _cross_entropy(hidden: Tensor, targets: Tensor, logits: LogitsFunction) -> Tensor:
    """(N,) float32 losses of targets (N,) given hidden (N, C), in chunks of rows."""
    if not len(targets):
        return hidden.new_empty(0, dtype=torch.float32)
    vocab_size = logits(hidden[:1]).shape[-1]
    rows = max(1, MAX_LOGITS_BYTES // (4 * vocab_size))
    chunks = []
    for hidden_chunk, target_chunk in zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True):
        # Sixteen-bit logits would store losses in steps of 0.4 %, as large as small scores.
        scores = logits(hidden_chunk).float()  # (rows, V)
        chunks.append(torch.nn.functional.cross_entropy(scores, target_chunk, reduction="none"))
    return torch.cat(chunks)
