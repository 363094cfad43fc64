"""Both losses of every document from one copy of the weights and one pass a batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from udfs.architectures import check_architecture, max_exact_window
from udfs.attention import Head, MaskMode, install_paired_mask
from udfs.batches import pad_right, token_budget_batches
from udfs.exactness import verify_exact
from udfs.head_mask import check_heads
from udfs.loss import logits_function, next_token_losses, row_sums
from udfs.windows import Window, check_window, start_tokens, text_windows

Status = Literal["scored", "empty", "too_short", "failed"]

# Raised whenever a change moves scores: it is part of a scorer's identity.
SCORING_VERSION = 1
# Enough windows to sort by length before batching, few enough to hold.
BUFFERED_BATCHES = 16


@dataclass(frozen=True)
class DocumentScore:
    """One document's losses: sums in nats over its num_predicted_tokens, None unless status is scored."""

    status: Status
    num_tokens: int = 0
    num_predicted_tokens: int = 0
    num_windows: int = 0
    base_nll_sum: float | None = None
    masked_nll_sum: float | None = None
    base_loss: float | None = None
    masked_loss: float | None = None
    influence_score: float | None = None
    error_class: str | None = None
    error_message: str | None = None


class PairedScorer:
    """A model with its heads masked in one half of every pass; score() gives a DocumentScore a text.

    The model stays masked for the scorer's life. Raises ValueError for heads that the model lacks, a window
    beyond its context, and an architecture whose mask is not exact.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        heads: Iterable[Head],
        mode: MaskMode = "uniform",
        window: int = 4096,
        max_batch_tokens: int | None = None,
    ) -> None:
        config = model.config.get_text_config()
        self.heads = sorted(set(heads))
        if not self.heads:
            raise ValueError(
                "the head mask is empty; name at least one head, or detect them: attention-influence detect-heads"
            )
        check_architecture(config)
        check_heads(self.heads, config.model_type, config.num_hidden_layers, config.num_attention_heads)
        if window > max_exact_window(config):
            raise ValueError(
                f"a window of {window} tokens is beyond the {max_exact_window(config)} that {config.model_type} "
                f"reads exactly; use --window {max_exact_window(config)} or less"
            )
        self.model, self.tokenizer, self.window = model, tokenizer, window
        self.device = next(model.parameters()).device
        self.max_batch_tokens = max_batch_tokens or (2048 if self.device.type == "cpu" else 32_768)
        self.logits = logits_function(model)
        self.vocab_size = model.get_input_embeddings().num_embeddings
        self.start = start_tokens(tokenizer)
        check_window(window, self.start, self.vocab_size)
        verify_exact(model, self.heads, mode)
        self.remove = install_paired_mask(model, self.heads, mode)

    def score(self, texts: Iterable[str | None]) -> list[DocumentScore]:
        """One DocumentScore a text, in order; the same to rounding however the texts are batched."""
        return [score for scores in self.score_stream([list(texts)]) for score in scores]

    def score_stream(self, batches: Iterable[Sequence[str | None]]) -> Iterator[list[DocumentScore]]:
        """Score batches of texts as they come, holding back a few until there is enough to sort by length.

        Yields lists of scores; their concatenation follows the texts in order.
        """
        documents: list[list[Window] | DocumentScore] = []
        num_tokens: list[int] = []
        buffered = 0
        for texts in batches:
            for text in texts:
                document, count = self._windows(len(documents), text)
                documents.append(document)
                num_tokens.append(count)
                buffered += count
            if buffered >= BUFFERED_BATCHES * self.max_batch_tokens:
                yield self._score_documents(documents, num_tokens)
                documents, num_tokens, buffered = [], [], 0
        if documents:
            yield self._score_documents(documents, num_tokens)

    def _windows(self, index: int, text: str | None) -> tuple[list[Window] | DocumentScore, int]:
        """(the document's windows, its number of tokens), or the score of a text that has no loss."""
        if text is None or not text.strip():
            return DocumentScore("empty"), 0
        try:
            token_ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        except (ValueError, TypeError, RuntimeError) as error:
            # A lone surrogate, for one, is a Python string but no Unicode text.
            return failed(type(error).__name__, f"the text cannot be tokenised: {error}"), 0
        if len(token_ids) < 2:
            return DocumentScore("too_short", num_tokens=len(token_ids)), 0
        if max(token_ids) >= self.vocab_size:
            message = f"token id {max(token_ids)} is beyond the model's vocabulary of {self.vocab_size}"
            return failed("TokenOutOfVocabulary", message), 0
        return text_windows(index, token_ids, self.start, self.window), len(token_ids)

    def _score_documents(
        self, documents: Sequence[list[Window] | DocumentScore], num_tokens: Sequence[int]
    ) -> list[DocumentScore]:
        windows = [w for document in documents if isinstance(document, list) for w in document]
        base_sums, masked_sums = [0.0] * len(documents), [0.0] * len(documents)
        too_large: set[int] = set()
        for window, losses in self._window_losses(windows):
            if losses is None:
                too_large.add(window.document)
                continue
            base_sums[window.document] += losses[0]
            masked_sums[window.document] += losses[1]
        return [
            document
            if isinstance(document, DocumentScore)
            else failed("OutOfMemory", f"a single window of {self.window} tokens does not fit in memory")
            if index in too_large
            else scored(document, num_tokens[index], base_sums[index], masked_sums[index])
            for index, document in enumerate(documents)
        ]

    def _window_losses(self, windows: Sequence[Window]) -> Iterator[tuple[Window, tuple[float, float] | None]]:
        """(window, (base sum, masked sum)) for each window in any order; None where one does not fit in memory."""
        pending = list(windows)
        while pending:
            done: set[int] = set()
            for batch in token_budget_batches(pending, self.max_batch_tokens):
                sums = self._batch_sums_or_none(batch)
                if sums is None and len(batch) > 1:
                    # Remember what did not fit, and cut what is left by the smaller budget.
                    self.max_batch_tokens = max(1, len(batch) * len(batch[0].token_ids) // 2)
                    break
                done.update(id(window) for window in batch)
                yield from zip(batch, sums or [None], strict=True)
            pending = [window for window in pending if id(window) not in done]

    def _batch_sums_or_none(self, batch: Sequence[Window]) -> Sequence[tuple[float, float] | None] | None:
        """The batch's sums, or None when it does not fit in memory."""
        try:
            return self._batch_sums(batch)
        except torch.OutOfMemoryError:
            return None

    @torch.inference_mode()
    def _batch_sums(self, batch: Sequence[Window]) -> list[tuple[float, float]]:
        """(base, masked) sums of losses of each window, in nats: float32 losses, added in float64."""
        # Any id serves, and 0 is in every vocabulary; a tokenizer's own padding id may be beyond the model's.
        input_ids, lengths = pad_right(batch, 0, self.device)  # (B, T), (B,)
        hidden = self.model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state  # (2B, T, C)
        losses = next_token_losses(hidden, input_ids, lengths, self.logits)  # (2B, T-1)
        sums = row_sums(losses, lengths).tolist()  # 2B, first the base rows
        return list(zip(sums[: len(batch)], sums[len(batch) :], strict=True))


def scored(windows: Sequence[Window], num_tokens: int, base_sum: float, masked_sum: float) -> DocumentScore:
    """The score from a document's sums: s = (masked - base) / base over exactly the same tokens (arXiv:2505.07293)."""
    num_predicted = sum(window.num_predicted_tokens for window in windows)
    if not (math.isfinite(base_sum) and math.isfinite(masked_sum)):
        return failed("NonFiniteLoss", f"the losses of {num_predicted} tokens sum to {base_sum} and {masked_sum}")
    if base_sum <= 0:
        return failed("ZeroLoss", f"the base loss of {num_predicted} tokens is {base_sum}: a ratio to it says nothing")
    return DocumentScore(
        status="scored",
        num_tokens=num_tokens,
        num_predicted_tokens=num_predicted,
        num_windows=len(windows),
        base_nll_sum=base_sum,
        masked_nll_sum=masked_sum,
        base_loss=base_sum / num_predicted,
        masked_loss=masked_sum / num_predicted,
        influence_score=(masked_sum - base_sum) / base_sum,
    )


def failed(error_class: str, message: str) -> DocumentScore:
    """A document that could not be scored, and why; never with its text at length."""
    return DocumentScore("failed", error_class=error_class, error_message=message[:300])
