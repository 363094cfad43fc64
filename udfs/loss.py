"""Next-token cross-entropy in chunks that never hold all logits: the only place that shifts labels.

Shapes: B rows of tokens, T positions, R rows of hidden states (B, or 2B for base and masked), C hidden size, N targets,
V vocabulary entries, W entries of one slice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from udfs.devices import device_kind, to_device
from udfs.lm_head import LMHead

# Logits held at a time, as float32. On a CPU they are read back from its cache: 8 MiB gave 150 GFLOP/s where 64 MiB
# of whole rows gave 113 (SmolLM2's 49,152 vocabulary entries, two cores, float32; 290 against 198 in bfloat16). A GPU
# needs larger matrices, and full logits of a 4,096-token window over 128k entries would be 2 GB, or 4 GB for both.
LOGITS_BYTES = {"cpu": 8 * 2**20, "cuda": 256 * 2**20}
# Vocabulary entries per slice: enough for a matrix product to run at full speed.
SLICE_ENTRIES = {"cpu": 2048, "cuda": 8192}


def next_token_losses(hidden: Tensor, input_ids: Tensor, lengths: Tensor, lm_head: LMHead) -> Tensor:
    """Cross-entropy of every token after the first, in nats.

    hidden (R, T, C) any float, where R is a multiple of B; input_ids (B, T) int64, right-padded; lengths (B,) int64 on
    the CPU, tokens per row. Returns (R, T-1) float32: entry t is the loss of token t+1, which position t predicts. It
    is NaN where the target is padding, so that a forgotten mask shows.

    Apart from rounding, and from the padding, this equals

        logits = lm_head(hidden).float()[:, :-1]                               # (R, T-1, V)
        targets = input_ids.repeat(R // B, 1)[:, 1:]                           # (R, T-1)
        torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")

    which would hold all logits.
    Source: arXiv:2505.07293.
    """
    num_copies = hidden.shape[0] // input_ids.shape[0]
    is_target = target_positions(lengths, input_ids.shape[1]).repeat(num_copies, 1)  # (R, T-1)
    # Found on the CPU: finding them on a GPU means waiting for it, to learn how many there are.
    rows, positions = is_target.nonzero(as_tuple=True)  # (N,), (N,)
    rows, positions = to_device(rows, hidden.device), to_device(positions, hidden.device)
    targets = input_ids[rows % input_ids.shape[0], positions + 1]  # (N,)
    losses = hidden.new_full(is_target.shape, torch.nan, dtype=torch.float32)  # (R, T-1)
    losses[rows, positions] = _cross_entropy(hidden[rows, positions], targets, lm_head)
    return losses


def logit_losses(logits: Tensor, input_ids: Tensor) -> Tensor:
    """Cross-entropy (T-1,) float32, in nats, of every token of one text after the first.

    logits (T, V) any float, held in full, so for short texts only; input_ids (T,) int64 on the same device.
    """
    return torch.nn.functional.cross_entropy(logits[:-1].float(), input_ids[1:], reduction="none")


def target_positions(lengths: Tensor, num_positions: int) -> Tensor:
    """(B, T-1) bool: whether token t+1 is one of the row's tokens, not padding; lengths (B,), T = num_positions."""
    return torch.arange(1, num_positions, device=lengths.device) < lengths[:, None]


def row_sums(losses: Tensor, lengths: Tensor, num_unscored: int = 1) -> Tensor:
    """Sums (R,) float64 of the losses (R, T-1) over each row's own tokens; lengths (B,) on the CPU, R a multiple of B.

    num_unscored: how many tokens at the start of each row do not count. The first token, which has no loss, is one of
    them. A loss that is NaN although its target is no padding makes the row's sum NaN.
    """
    is_target = target_positions(lengths, losses.shape[1] + 1)  # (B, T-1)
    is_target[:, : num_unscored - 1] = False
    is_target = is_target.repeat(losses.shape[0] // len(lengths), 1)  # (R, T-1)
    return losses.double().masked_fill(~to_device(is_target, losses.device), 0).sum(1)


def _cross_entropy(hidden: Tensor, targets: Tensor, lm_head: LMHead) -> Tensor:
    """(N,) float32 losses of targets (N,) given hidden (N, C): log-sum-exp of the logits minus the target's logit."""
    kind = device_kind(hidden.device)
    num_entries = min(SLICE_ENTRIES[kind], lm_head.vocab_size) if lm_head.can_slice else lm_head.vocab_size
    num_rows = max(1, LOGITS_BYTES[kind] // (4 * num_entries))
    losses = hidden.new_empty(len(targets), dtype=torch.float32)
    for first in range(0, len(targets), num_rows):
        rows = slice(first, first + num_rows)
        losses[rows] = _losses_of_rows(hidden[rows], targets[rows], lm_head=lm_head, num_entries=num_entries)
    return losses


def _losses_of_rows(hidden: Tensor, targets: Tensor, lm_head: LMHead, num_entries: int) -> Tensor:
    """(N,) float32 losses, from running log-sums over slices of the vocabulary."""
    log_sums = hidden.new_full(targets.shape, -torch.inf, dtype=torch.float32)  # (N,)
    target_logits = hidden.new_full(targets.shape, torch.nan, dtype=torch.float32)  # (N,)
    for first_entry, logits in lm_head.slices(hidden, num_entries):
        logits = logits.float()  # (N, W); a head that cannot be sliced gives its own dtype
        log_sums = torch.logaddexp(log_sums, logits.logsumexp(-1))
        index = targets - first_entry
        is_here = (index >= 0) & (index < logits.shape[1])
        here = logits.gather(1, index.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        target_logits = torch.where(is_here, here, target_logits)
    if lm_head.rounds(hidden):
        exact = lm_head.exact(hidden, targets)
        # The rounding of all entries averages out in the sum, but the target's alone would remain in the loss. So its
        # exact logit replaces the rounded one both by itself and within the sum.
        share = torch.exp(target_logits - log_sums)
        log_sums = log_sums + torch.log1p(share * torch.expm1(exact - target_logits))
        target_logits = exact
    return log_sums - target_logits
