"""Packed windows: each has the losses that it has alone, or rows are padded instead."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaModel

from tests.udfs.cases import SOME_HEADS, TEXTS, WHOLE_LAYER, WINDOW, assert_same
from tests.udfs.models import ARCHITECTURES, tiny_model
from udfs import paired
from udfs.attention import plain_attention
from udfs.packing import Packing, pack, unpack
from udfs.paired import PairedScorer
from udfs.windows import Window

SLIDING = {"gemma3", "mistral"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_windows_have_the_losses_of_padded_ones(architecture: str, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(tiny_model(architecture), tiny_tokenizer, SOME_HEADS, window=WINDOW)
    assert scorer.packed == (architecture not in SLIDING)
    found = scorer.score(TEXTS)
    scorer.packed = False
    assert_same(found, scorer.score(TEXTS))


@pytest.mark.parametrize("reach", [WINDOW - 1, WINDOW])
def test_layers_that_see_less_than_a_window_are_not_packed(reach: int, tiny_tokenizer: Any) -> None:
    model = tiny_model("mistral")
    model.config.sliding_window = reach
    scorer = PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=WINDOW)
    assert scorer.packed == (reach >= WINDOW)
    found = scorer.score(TEXTS)
    scorer.packed = False
    assert_same(found, scorer.score(TEXTS))


def test_windows_that_see_each_other_are_not_packed(tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=WINDOW).score(TEXTS)

    def over_the_row(_self: Any, module: Any, q: Any, k: Any, v: Any, mask: Any, **kwargs: Any) -> Any:
        return plain_attention(module, q, k, v, None, **kwargs)

    monkeypatch.setattr(Packing, "attention", over_the_row)
    with pytest.warns(UserWarning, match="a window's losses change with the window before it"):
        scorer = PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=WINDOW)
    assert not scorer.packed
    assert_same(scorer.score(TEXTS), expected)


class WithoutPositions(LlamaModel):
    def forward(self, input_ids: Any = None, **kwargs: Any) -> Any:
        return super().forward(input_ids=input_ids, **kwargs)


def test_a_model_that_does_not_name_positions_is_not_packed(tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    model.model.__class__ = WithoutPositions
    with pytest.warns(UserWarning, match="the model takes no positions"):
        assert not PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=WINDOW).packed


def test_a_model_that_ignores_positions_is_not_packed(tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_after_another(*args: Any) -> Any:
        input_ids, positions, lengths = pack(*args)
        return input_ids, torch.arange(positions.shape[1])[None], lengths

    monkeypatch.setattr(paired, "pack", one_after_another)
    with pytest.warns(UserWarning, match=r"losses of .* instead of"):
        assert not PairedScorer(tiny_model("gpt2"), tiny_tokenizer, SOME_HEADS, window=WINDOW).packed


def test_a_layer_that_makes_a_mask_of_its_own_is_not_packed(
    tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = Packing.attention

    def with_own_mask(self: Any, module: Any, q: Any, k: Any, v: Any, _mask: Any, **kwargs: Any) -> Any:
        own = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()[None, None]
        return attention(self, module, q, k, v, own, **kwargs)

    monkeypatch.setattr(Packing, "attention", with_own_mask)
    with pytest.warns(UserWarning, match="a layer has made a mask of its own"):
        assert not PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=WINDOW).packed


def test_where_the_kernel_fails_rows_are_padded_and_a_warning_says_why(
    tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=WINDOW).score(TEXTS)
    attention = Packing.attention

    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.lengths:
            raise RuntimeError("this kernel needs another GPU")
        return attention(self, *args, **kwargs)

    monkeypatch.setattr(Packing, "attention", failing)
    with pytest.warns(UserWarning, match="padded, since windows cannot be packed: this kernel needs another GPU"):
        scorer = PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=WINDOW)
    assert_same(scorer.score(TEXTS), expected)


needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@needs_a_gpu
@pytest.mark.parametrize("mode", ["uniform", "zero"])
# With SOME_HEADS every layer has two rows; with WHOLE_LAYER the first one has one.
@pytest.mark.parametrize("heads", [SOME_HEADS, WHOLE_LAYER])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "granite"])
def test_a_gpu_packs_by_its_own_kernel_with_the_same_losses(
    architecture: str, heads: Any, mode: Any, tiny_tokenizer: Any
) -> None:
    model = tiny_model(architecture).to("cuda", torch.bfloat16)
    scorer = PairedScorer(model, tiny_tokenizer, heads, mode, window=WINDOW)
    assert scorer.packed
    found = scorer.score(TEXTS)
    assert scorer.score(TEXTS) == found  # to the bit
    scorer.packed = False
    for score, other in zip(found, scorer.score(TEXTS), strict=True):
        assert score.base_loss == pytest.approx(other.base_loss, rel=5e-3)
        assert score.masked_loss == pytest.approx(other.masked_loss, rel=5e-3)


@needs_a_gpu
def test_a_gpu_pads_in_float32_and_says_so(tiny_tokenizer: Any) -> None:
    expected = PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=WINDOW).score(TEXTS)
    with pytest.warns(UserWarning, match="batches are padded"):
        scorer = PairedScorer(tiny_model("llama").to("cuda"), tiny_tokenizer, SOME_HEADS, window=WINDOW)
    for score, other in zip(scorer.score(TEXTS), expected, strict=True):
        assert score.base_loss == pytest.approx(other.base_loss, rel=1e-3)


def test_positions_begin_anew_in_each_window() -> None:
    input_ids, positions, lengths = pack([Window(0, [5, 6, 7]), Window(1, [8, 9])], torch.device("cpu"))
    assert input_ids.tolist() == [[5, 6, 7, 8, 9]]
    assert positions.tolist() == [[0, 1, 2, 0, 1]]
    assert lengths.tolist() == [3, 2]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_unpacked_losses_are_each_windows_own(lengths: list[int]) -> None:
    losses = torch.rand(2, sum(lengths) - 1)
    found = unpack(losses, torch.tensor(lengths))
    assert found.shape == (2 * len(lengths), max(lengths) - 1)
    for row in range(2):
        for number, length in enumerate(lengths):
            start = sum(lengths[:number])
            own = losses[row, start : start + length - 1]
            assert torch.equal(found[row * len(lengths) + number, : length - 1], own)
