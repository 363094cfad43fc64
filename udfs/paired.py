"""Both losses of every document, from one copy of the weights and one pass per batch.

Shapes: B windows of a batch, T the tokens of the longest one, N the tokens of all of them, C hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from udfs.architectures import check_architecture, max_exact_window
from udfs.attention import install_paired_mask
from udfs.batches import pad_right
from udfs.compiled import check_compiled, compile_layers
from udfs.devices import device_kind
from udfs.document_score import DocumentScore, failed, scored
from udfs.exactness import TOLERANCES, verify_exact
from udfs.head_mask import Head, MaskMode, check_heads
from udfs.lm_head import LMHead
from udfs.loss import next_token_losses, row_sums
from udfs.memory import is_out_of_memory
from udfs.packing import Packing, pack, unpack
from udfs.packing_proof import few_windows, packs_exactly
from udfs.precision import add_in_float32, product_dtype, weights_in_float32
from udfs.prefix_tokens import prefix_tokens
from udfs.token_budget import sums_within_budget
from udfs.tokenised import Buffer, TextReader, one_ahead
from udfs.windows import Window, check_window

# Tokens per pass: few enough for a CPU's cache and memory, enough to keep a GPU busy.
BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
# Batches per buffer: windows are sorted by length within a buffer, and all of it is in memory. The first buffers are
# smaller, each twice the one before, because the device has to wait for the first one.
BUFFERED_BATCHES = 16


@dataclass(frozen=True)
class WindowLosses:
    """Sums of a window's losses in nats; reread_in_float32 where half precision overflowed."""

    base_sum: float
    masked_sum: float
    reread_in_float32: bool = False

    def is_finite(self) -> bool:
        """Whether both sums are finite numbers."""
        return math.isfinite(self.base_sum) and math.isfinite(self.masked_sum)


class PairedScorer:
    """A model whose heads are masked in one half of every pass; score() returns one DocumentScore per text.

    heads: (layer, head) pairs. window: the most tokens read at once. max_batch_tokens: the most tokens per pass; None
    takes the device's default. compiled: compile the layers first, which takes about a minute and gains nothing on a
    CPU (tests/benchmarks/RESULTS.md); on GPUs it has not been measured.

    The model stays masked until remove() is called. A half-precision one keeps float32 between its products even after
    that. Raises ValueError for heads that the model lacks, a window beyond its context, and an architecture whose mask
    is not exact.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        heads: Iterable[Head],
        mode: MaskMode = "uniform",
        window: int = 4096,
        max_batch_tokens: int | None = None,
        compiled: bool = False,
    ) -> None:
        self.heads = sorted(set(heads))
        _check_request(model.config.get_text_config(), self.heads, window)
        self.model, self.window = model, window
        self.max_batch_tokens = max_batch_tokens or BATCH_TOKENS[device_kind(self.device)]
        self.lm_head = LMHead(model)
        vocab_size = model.get_input_embeddings().num_embeddings
        prefix = prefix_tokens(tokenizer)
        check_window(window, prefix, vocab_size)
        self.reader = TextReader(tokenizer, prefix, window=window, vocab_size=vocab_size)
        self.dtype = product_dtype(model)
        add_in_float32(model)
        verify_exact(model, self.heads, mode)
        self._packing = Packing()
        self.remove = install_paired_mask(
            model, self.heads, mode, attention=self._packing.attention, mask=self._packing.mask
        )
        # Whether windows are packed into one row, or are rows of their own with padding.
        self.packed = packs_exactly(
            model, self._sums, packing=self._packing, window=window, vocab_size=self.lm_head.vocab_size
        )
        if compiled:
            self._compile()

    @property
    def device(self) -> torch.device:
        """The device of the model, which may be moved to another device of the same kind between passes."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def score(self, texts: Iterable[str | None]) -> list[DocumentScore]:
        """One DocumentScore per text, in order; except for rounding they do not depend on how texts are batched."""
        return [score for scores in self.score_stream([list(texts)]) for score in scores]

    def score_stream(self, batches: Iterable[Sequence[str | None]]) -> Iterator[list[DocumentScore]]:
        """Score batches of texts as they arrive, in buffers large enough to sort windows by length.

        Yields lists of scores whose concatenation has the order of the texts. A separate thread reads and tokenises
        the texts.
        """
        buffers = self.reader.buffers(batches, lambda number: min(2**number, BUFFERED_BATCHES) * self.max_batch_tokens)
        for buffer in one_ahead(buffers):
            yield self._score_buffer(buffer)

    def _compile(self) -> None:
        """Compile the layers; raises ValueError where this machine cannot, or where the losses change."""
        few = few_windows(3, self.window, self.lm_head.vocab_size)
        before = self._sums(few, packed=self.packed)
        compile_layers(self.model)
        try:
            after = self._sums(few, packed=self.packed)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise ValueError(f"the model cannot be compiled here ({str(error)[:200]}); leave --compile out") from error
        check_compiled(before, after, TOLERANCES[self.dtype])

    def _score_buffer(self, buffer: Buffer) -> list[DocumentScore]:
        windows = buffer.windows()
        losses: list[list[WindowLosses | None]] = [[] for _ in buffer.documents]
        for window, of_window in zip(windows, self._window_losses(windows), strict=True):
            losses[window.document].append(of_window)
        documents = zip(buffer.documents, buffer.num_tokens, losses, strict=True)
        return [
            document if isinstance(document, DocumentScore) else self._document_score(document, num_tokens, of_document)
            for document, num_tokens, of_document in documents
        ]

    def _document_score(
        self, windows: Sequence[Window], num_tokens: int, losses: Sequence[WindowLosses | None]
    ) -> DocumentScore:
        fitting = [of_window for of_window in losses if of_window is not None]
        if len(fitting) < len(windows):
            where = "" if self.dtype == torch.float32 else ", or not in float32, in which an overflow is read again"
            return failed("OutOfMemory", f"a single window of {self.window} tokens does not fit in memory{where}")
        return scored(
            windows,
            num_tokens,
            math.fsum(of_window.base_sum for of_window in fitting),
            math.fsum(of_window.masked_sum for of_window in fitting),
            sum(of_window.reread_in_float32 for of_window in fitting),
        )

    def _window_losses(self, windows: Sequence[Window]) -> list[WindowLosses | None]:
        """The losses of each window, in order; None where one does not fit in memory."""
        sums, self.max_batch_tokens = self._passes(windows, packed=self.packed)
        losses = [None if of_window is None else WindowLosses(*of_window) for of_window in sums]
        if self.dtype == torch.float32:
            return losses
        overflown = [
            index for index, of_window in enumerate(losses) if of_window is not None and not of_window.is_finite()
        ]
        if overflown:
            for index, again in zip(overflown, self._sums_in_float32([windows[i] for i in overflown]), strict=True):
                losses[index] = None if again is None else WindowLosses(*again, reread_in_float32=True)
        return losses

    def _sums_in_float32(self, windows: Sequence[Window]) -> list[tuple[float, float] | None]:
        """Both sums of each window, with the weights in float32; None for a window that does not fit in memory then."""
        try:
            with weights_in_float32(self.model):
                # The budget that is left says nothing about half precision, so it is dropped.
                return self._passes(windows, packed=False)[0]
        except RuntimeError as error:
            # Where there is no room for the weights, there is none for any window.
            if not is_out_of_memory(error):
                raise
        return [None] * len(windows)

    def _passes(self, windows: Sequence[Window], *, packed: bool) -> tuple[list[tuple[float, float] | None], int]:
        return sums_within_budget(windows, self.max_batch_tokens, partial(self._sums, packed=packed), packed=packed)

    @torch.inference_mode()
    def _sums(self, batch: Sequence[Window], *, packed: bool) -> Tensor:
        """Sums (2, B) float64 of each window's float32 losses, base and masked, in nats."""
        losses, lengths = self._packed_losses(batch) if packed else self._padded_losses(batch)
        return row_sums(losses, lengths, batch[0].num_unscored).view(2, len(batch))

    def _packed_losses(self, batch: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """(losses (2B, T-1), lengths (B,)) of windows packed into one row of N tokens."""
        input_ids, positions, lengths = pack(batch, self.device)  # (1, N), (1, N), (B,)
        self._packing.begin(lengths.tolist(), self.device)
        # Our attention function reads no mask. Without this one, transformers would make its own, and wait for the GPU.
        no_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.device)
        hidden = self.model.base_model(
            input_ids=input_ids, position_ids=positions, attention_mask=no_mask, use_cache=False
        ).last_hidden_state  # (2, N, C)
        # Includes losses of each window's first token, as predicted from the window before; unpack leaves them out.
        losses = next_token_losses(
            hidden, input_ids, lengths=lengths.sum(0, keepdim=True), lm_head=self.lm_head
        )  # (2, N-1)
        return unpack(losses, lengths), lengths

    def _padded_losses(self, batch: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """(losses (2B, T-1), lengths (B,)) of windows in rows of their own, padded to T tokens."""
        # Any id works, and 0 is in every vocabulary; a tokenizer's own padding id may be beyond the model's vocabulary.
        input_ids, lengths = pad_right(batch, 0, self.device)  # (B, T), (B,)
        self._packing.begin((), self.device)
        hidden = self.model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state  # (2B, T, C)
        return next_token_losses(hidden, input_ids, lengths=lengths, lm_head=self.lm_head), lengths


def _check_request(config: Any, heads: Sequence[Head], window: int) -> None:
    """Raise ValueError unless a model of this configuration has the heads, and reads such windows and masks exactly."""
    if not heads:
        raise ValueError(
            "the head mask is empty; name at least one head, or detect them: attention-influence detect-heads"
        )
    check_architecture(config)
    check_heads(heads, config.model_type, num_layers=config.num_hidden_layers, num_heads=config.num_attention_heads)
    if window > max_exact_window(config):
        raise ValueError(
            f"a window of {window} tokens is beyond the {max_exact_window(config)} that {config.model_type} "
            f"reads exactly; use --window {max_exact_window(config)} or less"
        )
