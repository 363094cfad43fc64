"""Next-token cross-entropy: the only place that shifts labels, or turns hidden states into logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from udfs.precision import SIXTEEN_BITS

# Logits held at a time, as float32. On a CPU they are read back from its cache: 8 MiB gave 150 GFLOP/s where 64 MiB
# of whole rows gave 113 (SmolLM2's 49,152 words, two cores, float32; 290 against 198 in bfloat16). A GPU wants
# larger matrices, and full logits of a 4,096-token window over 128k words would be 2 GB, twice that paired.
LOGITS_BYTES = {"cpu": 8 * 2**20, "cuda": 256 * 2**20}
# Words of the vocabulary in a piece: enough for a matrix product to run at full speed.
NUM_WORDS = {"cpu": 2048, "cuda": 8192}


class VocabularyHead:
    """The model's own map from final hidden states to logits, with its scaling and capping, a slice at a time."""

    def __init__(self, model: Any) -> None:
        self._module = model.get_output_embeddings()
        config = model.config.get_text_config()
        self.vocab_size: int = getattr(self._module, "out_features", config.vocab_size)
        self._cap = getattr(config, "final_logit_softcapping", None)
        self._divisor = getattr(config, "logits_scaling", None)
        self._factor = getattr(config, "logit_scale", None)
        # A subclass, such as a quantised one, may keep its weights in another form: it is called whole.
        self.can_slice = type(self._module) is torch.nn.Linear

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (N, V) of hidden (N, C) over the whole vocabulary."""
        return self._finish(self._module(hidden))

    def pieces(self, hidden: Tensor, num_words: int) -> Iterator[tuple[int, Tensor]]:
        """(first word, float32 logits (N, W)) of consecutive slices of the vocabulary, at most num_words words each.

        They are what the model says of the words, but for those that rounds() tells of.
        """
        if not self.can_slice:
            yield 0, self(hidden)
            return
        weight, bias = self._module.weight, self._module.bias  # (V, C), (V,) or None
        hidden = hidden.to(weight.dtype)
        for first in range(0, len(weight), num_words):
            words = slice(first, first + num_words)
            logits = _product(hidden, weight[words])
            yield first, self._finish(logits if bias is None else logits + bias[words].float())

    def rounds(self, hidden: Tensor) -> bool:
        """Whether pieces of hidden are rounded to 16 bits: only CUDA multiplies such matrices into float32."""
        return self.can_slice and not hidden.is_cuda and self._module.weight.dtype in SIXTEEN_BITS

    def exact(self, hidden: Tensor, words: Tensor) -> Tensor:
        """Float32 logits (N,) of one word (N,) a row of hidden (N, C), where the head can be sliced."""
        weight, bias = self._module.weight, self._module.bias
        logits = (hidden.to(weight.dtype).float() * weight[words].float()).sum(-1)
        return self._finish(logits if bias is None else logits + bias[words].float())

    def _finish(self, logits: Tensor) -> Tensor:
        if self._divisor is not None:
            logits = logits / self._divisor
        if self._factor is not None:
            logits = logits * self._factor
        if self._cap is not None:
            logits = torch.tanh(logits / self._cap) * self._cap
        return logits


def _product(hidden: Tensor, weight: Tensor) -> Tensor:
    """Logits (N, W) float32 of hidden (N, C) and weight (W, C), both of one dtype."""
    if hidden.is_cuda and weight.dtype != torch.float32:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return torch.nn.functional.linear(hidden, weight).float()


def next_token_losses(hidden: Tensor, input_ids: Tensor, lengths: Tensor, head: VocabularyHead) -> Tensor:
    """Cross-entropy of every token after the first, in nats.

    hidden (R, T, C) any float, where R is a multiple of B; input_ids (B, T), right-padded; lengths (B,) on the
    CPU, tokens a row. Returns (R, T-1) float32: entry t is the loss of token t+1, which row t predicts; NaN where
    the target is padding, so that a forgotten mask shows. Full logits are never held.
    Source: arXiv:2505.07293.
    """
    num_copies = hidden.shape[0] // input_ids.shape[0]
    is_target = target_positions(lengths, input_ids.shape[1]).repeat(num_copies, 1)  # (R, T-1)
    # Found on the CPU: a GPU would have to be waited for, to learn how many there are.
    rows, positions = is_target.nonzero(as_tuple=True)  # (N,), (N,)
    rows, positions = to_device(rows, hidden.device), to_device(positions, hidden.device)
    targets = input_ids[rows % input_ids.shape[0], positions + 1]  # (N,)
    losses = hidden.new_full(is_target.shape, torch.nan, dtype=torch.float32)  # (R, T-1)
    losses[rows, positions] = _cross_entropy(hidden[rows, positions], targets, head)
    return losses


def logit_losses(logits: Tensor, input_ids: Tensor) -> Tensor:
    """Cross-entropy (T-1,) float32, in nats, of every token of one text after the first.

    logits (T, V) any float, held in full: of a model as it is, for short texts; input_ids (T,) on their device.
    """
    return torch.nn.functional.cross_entropy(logits[:-1].float(), input_ids[1:], reduction="none")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The CPU tensor on device, copied without waiting for what a GPU is still computing."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def target_positions(lengths: Tensor, num_positions: int) -> Tensor:
    """(B, T-1) bool: where token t+1 is one of the row's lengths (B,) tokens, not padding."""
    return torch.arange(1, num_positions, device=lengths.device) < lengths[:, None]


def row_sums(losses: Tensor, lengths: Tensor, num_unscored: int = 1) -> Tensor:
    """Sums (R,) float64 of the losses (R, T-1) over each row's own tokens; lengths (B,) on the CPU, R a multiple of B.

    num_unscored: tokens at the start of each row that do not count, the first, which has no loss, among them. A loss
    that is NaN although its target is real makes the row's sum NaN.
    """
    is_target = target_positions(lengths, losses.shape[1] + 1)  # (B, T-1)
    is_target[:, : num_unscored - 1] = False
    is_target = is_target.repeat(losses.shape[0] // len(lengths), 1)
    return losses.double().masked_fill(~to_device(is_target, losses.device), 0).sum(1)


def _cross_entropy(hidden: Tensor, targets: Tensor, head: VocabularyHead) -> Tensor:
    """(N,) float32 losses of targets (N,) given hidden (N, C): log-sum-exp over the words less the target's logit."""
    device = "cpu" if hidden.device.type == "cpu" else "cuda"
    num_words = min(NUM_WORDS[device], head.vocab_size) if head.can_slice else head.vocab_size
    num_rows = max(1, LOGITS_BYTES[device] // (4 * num_words))
    losses = hidden.new_empty(len(targets), dtype=torch.float32)
    for first in range(0, len(targets), num_rows):
        rows = slice(first, first + num_rows)
        losses[rows] = _losses_of_rows(hidden[rows], targets[rows], head, num_words)
    return losses


def _losses_of_rows(hidden: Tensor, targets: Tensor, head: VocabularyHead, num_words: int) -> Tensor:
    """(N,) float32 losses, from running log-sums over slices of the vocabulary."""
    log_sums = hidden.new_full(targets.shape, -torch.inf, dtype=torch.float32)  # (N,)
    target_logits = hidden.new_full(targets.shape, torch.nan, dtype=torch.float32)  # (N,)
    for first_word, logits in head.pieces(hidden, num_words):
        logits = logits.float()  # (N, W); where the head could not be sliced, they are the module's own
        log_sums = torch.logaddexp(log_sums, logits.logsumexp(-1))
        index = targets - first_word
        is_here = (index >= 0) & (index < logits.shape[1])
        here = logits.gather(1, index.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        target_logits = torch.where(is_here, here, target_logits)
    if head.rounds(hidden):
        exact = head.exact(hidden, targets)
        # The sum averages the words' rounding, and the target's alone would stay: put its exact logit in both places.
        share = torch.exp(target_logits - log_sums)
        log_sums = log_sums + torch.log1p(share * torch.expm1(exact - target_logits))
        target_logits = exact
    return log_sums - target_logits
