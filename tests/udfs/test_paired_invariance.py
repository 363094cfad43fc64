"""A score belongs to its text alone: not to the batch, the order, the padding, the neighbours or the memory."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from tests.udfs.cases import SOME_HEADS, TEXTS, WINDOW, assert_same
from tests.udfs.conftest import BOS, CONTROL_WORD, SENTENCES, byte_level_tokenizer
from tests.udfs.models import ARCHITECTURES, VOCAB_SIZE, tiny_model
from udfs.paired import PairedScorer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_number_of_rows_a_batch_does_not_change_a_score(architecture: str, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(tiny_model(architecture), tiny_tokenizer, SOME_HEADS, window=WINDOW)
    results = []
    for rows in (1, 8, 64):
        scorer.max_batch_tokens = rows * WINDOW
        results.append(scorer.score(TEXTS))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


def test_the_order_of_the_texts_does_not_change_a_score(llama: Any, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW, max_batch_tokens=64)
    expected = dict(zip(TEXTS, scorer.score(TEXTS), strict=True))
    for seed in range(3):
        shuffled = random.Random(seed).sample(TEXTS, len(TEXTS))
        assert_same(scorer.score(shuffled), [expected[text] for text in shuffled])


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_how_texts_are_cut_into_batches_changes_neither_scores_nor_order(
    size: int, llama: Any, tiny_tokenizer: Any
) -> None:
    texts = [*TEXTS, None, "", *TEXTS]
    # A small budget, so that what is held back is let go several times over.
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW, max_batch_tokens=8)
    expected = scorer.score(texts)
    batches = [texts[begin : begin + size] for begin in range(0, len(texts), size)]
    streamed = list(scorer.score_stream([[], *batches]))
    assert_same([score for scores in streamed for score in scores], expected)
    assert size == 1000 or len(streamed) > 1


def test_scores_come_out_before_the_last_text_has_gone_in(llama: Any, tiny_tokenizer: Any) -> None:
    taken = 0

    def batches() -> Any:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield [SENTENCES[0]]

    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW, max_batch_tokens=16)
    assert next(scorer.score_stream(batches()))
    assert taken < 50


def test_a_longer_neighbour_does_not_change_a_documents_score(tiny_tokenizer: Any) -> None:
    short, long = "x = 1; y = x", " ".join(SENTENCES)
    for architecture in ("llama", "mistral", "gemma3", "gpt2"):
        scorer = PairedScorer(tiny_model(architecture), tiny_tokenizer, SOME_HEADS, window=128)
        alone = scorer.score([short])
        beside = scorer.score([short, long])
        assert_same(beside[:1], alone)


def test_the_same_text_scores_the_same_beside_any_other(llama: Any, tiny_tokenizer: Any) -> None:
    """A score made of another document's losses would differ here."""
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=64)
    alone = [scorer.score([text])[0] for text in SENTENCES]
    assert_same(scorer.score(SENTENCES), alone)
    losses = [score.base_loss for score in alone]
    assert len({round(loss or 0, 3) for loss in losses}) == len(losses)


@pytest.mark.parametrize("pad_token", [None, CONTROL_WORD, BOS, "a", "<added pad>"])
def test_any_padding_token_gives_the_same_scores_even_one_that_the_model_lacks(
    pad_token: str | None, llama: Any, tiny_tokenizer: Any
) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=64)
    expected = scorer.score(TEXTS)
    scorer.remove()
    padding = byte_level_tokenizer(bos=False)
    if pad_token is not None:
        padding.add_special_tokens({"pad_token": pad_token})
    assert (pad_token == "<added pad>") == ((padding.pad_token_id or 0) >= VOCAB_SIZE)
    assert_same(PairedScorer(llama, padding, SOME_HEADS, window=64).score(TEXTS), expected)


class SmallMemory:
    """Makes a model run out of memory, as a GPU does, on batches of more than max_tokens, padding included."""

    def __init__(
        self, model: Any, max_tokens: int, error: RuntimeError | None = None, max_failures: float = math.inf
    ) -> None:
        self.max_tokens, self.num_failures, self.error = max_tokens, 0, error or TOO_LITTLE[0]
        self.max_failures = max_failures
        self.hook = model.model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, _module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].numel() > self.max_tokens and self.num_failures < self.max_failures:
            self.num_failures += 1
            raise self.error


# torch's allocator, and what else asks for a GPU's memory.
TOO_LITTLE = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", TOO_LITTLE, ids=["allocator", "device", "library"])
def test_out_of_memory_halves_the_batch_gives_the_same_scores_and_is_remembered(
    llama: Any, tiny_tokenizer: Any, error: RuntimeError
) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW, max_batch_tokens=64 * WINDOW)
    expected = scorer.score(TEXTS)
    memory = SmallMemory(llama, max_tokens=3 * WINDOW, error=error)
    assert_same(scorer.score(TEXTS), expected)
    assert 1 <= memory.num_failures <= 6
    num_failures = memory.num_failures
    assert_same(scorer.score(TEXTS), expected)
    assert memory.num_failures == num_failures
    assert WINDOW <= scorer.max_batch_tokens <= 3 * WINDOW


def test_memory_that_is_short_for_a_moment_at_a_small_batch_costs_half_the_budget(
    llama: Any, tiny_tokenizer: Any
) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW, max_batch_tokens=64 * WINDOW)
    few = ["x = 1", "y = 2 * x"]
    expected = scorer.score(few)
    memory = SmallMemory(llama, max_tokens=0, max_failures=1)
    assert_same(scorer.score(few), expected)
    assert memory.num_failures == 1
    assert scorer.max_batch_tokens == 32 * WINDOW


def test_memory_that_shrinks_midway_counts_no_window_twice_and_loses_none(llama: Any, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW, max_batch_tokens=3 * WINDOW)
    expected = scorer.score(TEXTS)
    memory = SmallMemory(llama, max_tokens=3 * WINDOW)

    def shrink(*_args: Any) -> None:
        memory.max_tokens = WINDOW

    llama.model.register_forward_hook(shrink)  # after the first batch, by which some windows are done
    assert_same(scorer.score(TEXTS), expected)
    assert memory.num_failures >= 1


def test_a_window_that_never_fits_fails_its_document_alone(llama: Any, tiny_tokenizer: Any) -> None:
    texts = ["x = 1", " ".join(SENTENCES), "y = 2 * x"]
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=128)
    expected = scorer.score(texts)
    SmallMemory(llama, max_tokens=20)
    first, long, last = scorer.score(texts)
    assert_same([first, last], [expected[0], expected[2]])
    assert (long.status, long.error_class) == ("failed", "OutOfMemory")
    assert long.error_message
    assert "128 tokens" in long.error_message


def test_an_error_of_the_device_stops_the_job(llama: Any, tiny_tokenizer: Any) -> None:
    """After a device-side assert every later document would be lost too, so it is no document's own error."""
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW)

    def broken_device(*_args: Any) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    llama.model.register_forward_pre_hook(broken_device)
    with pytest.raises(RuntimeError, match="device-side assert"):
        scorer.score(TEXTS)
