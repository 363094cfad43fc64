"""The paired pass against the oracle: two models with the mask in their weights, one document at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.udfs.cases import SOME_HEADS, TEXTS, WHOLE_LAYER, WINDOW, assert_as_expected, assert_same
from tests.udfs.conftest import SENTENCES, byte_level_tokenizer
from tests.udfs.models import ARCHITECTURES, NUM_HEADS, NUM_LAYERS, gemma3_with_its_real_vocabulary, tiny_model
from tests.udfs.oracle import Head, Oracle
from udfs.paired import PairedScorer

HEAD_SETS = {
    "a layer with every head masked": WHOLE_LAYER,
    "two whole layers": [*WHOLE_LAYER, *((2, head) for head in range(NUM_HEADS))],
    "the first layer only": [(0, 2)],
    "the last layer only": [(2, 0), (2, 3)],
    "every head": [(layer, head) for layer in range(NUM_LAYERS) for head in range(NUM_HEADS)],
}


@pytest.mark.parametrize("bos", [False, True], ids=["plain", "bos"])
@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_losses_equal_those_of_two_models_with_the_mask_in_their_weights(
    architecture: str, mode: Any, bos: bool
) -> None:
    model, tokenizer = tiny_model(architecture), byte_level_tokenizer(bos=bos)
    oracle = Oracle(model, tokenizer, SOME_HEADS, mode, WINDOW, [tokenizer.bos_token_id] if bos else [])
    found = PairedScorer(model, tokenizer, SOME_HEADS, mode, WINDOW, max_batch_tokens=64).score(TEXTS)
    assert_as_expected(found, oracle, TEXTS)
    assert max(abs(score.influence_score or 0) for score in found) > 1e-3


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "olmo2"])
@pytest.mark.parametrize("heads", HEAD_SETS.values(), ids=HEAD_SETS)
def test_any_set_of_heads_gives_the_oracles_losses(
    heads: list[Head], architecture: str, mode: Any, bos_tokenizer: Any
) -> None:
    model = tiny_model(architecture, seed=1)
    oracle = Oracle(model, bos_tokenizer, heads, mode, WINDOW, [bos_tokenizer.bos_token_id])
    found = PairedScorer(model, bos_tokenizer, heads, mode, WINDOW).score(TEXTS)
    assert_as_expected(found, oracle, TEXTS)


def test_gemma_3_with_its_262144_vocabulary_entries_gives_the_oracles_losses(bos_tokenizer: Any) -> None:
    model, heads, texts = gemma3_with_its_real_vocabulary(), [(0, 1), (0, 2)], TEXTS[:1]
    oracle = Oracle(model, bos_tokenizer, heads, "uniform", 32, [bos_tokenizer.bos_token_id])
    assert_as_expected(PairedScorer(model, bos_tokenizer, heads, "uniform", 32).score(texts), oracle, texts)


def test_a_document_keeps_its_sums_and_the_score_is_their_ratio(llama: Any, tiny_tokenizer: Any) -> None:
    for score in PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW).score(TEXTS):
        assert score.base_nll_sum is not None
        assert score.masked_nll_sum is not None
        assert score.base_loss == score.base_nll_sum / score.num_predicted_tokens
        assert score.masked_loss == score.masked_nll_sum / score.num_predicted_tokens
        assert score.influence_score == (score.masked_nll_sum - score.base_nll_sum) / score.base_nll_sum


def test_nothing_of_a_long_document_is_left_out(llama: Any, tiny_tokenizer: Any) -> None:
    text = " ".join(SENTENCES * 4)
    num_tokens = len(tiny_tokenizer(text)["input_ids"])
    (score,) = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW).score([text])
    assert score.num_tokens == num_tokens
    assert score.num_windows == -(-num_tokens // WINDOW)
    # Each window's first token has nothing before it.
    assert score.num_predicted_tokens == num_tokens - score.num_windows


def test_a_tokenizer_saved_with_truncation_and_padding_still_gives_the_whole_text_and_no_more(
    llama: Any, tiny_tokenizer: Any
) -> None:
    cutting = byte_level_tokenizer(bos=False)
    cutting.backend_tokenizer.enable_truncation(8)
    cutting.backend_tokenizer.enable_padding(length=200)
    whole = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW)
    expected = whole.score(TEXTS)
    whole.remove()
    assert_same(PairedScorer(llama, cutting, SOME_HEADS, window=WINDOW).score(TEXTS), expected)


def test_two_scorers_of_different_models_do_not_touch_each_other(tiny_tokenizer: Any) -> None:
    first, second = tiny_model("llama", seed=1), tiny_model("llama", seed=2)
    expected_first = Oracle(first, tiny_tokenizer, [(0, 0)], "uniform", WINDOW)
    expected_second = Oracle(second, tiny_tokenizer, [(2, 3)], "zero", WINDOW)
    one = PairedScorer(first, tiny_tokenizer, [(0, 0)], "uniform", WINDOW)
    two = PairedScorer(second, tiny_tokenizer, [(2, 3)], "zero", WINDOW)
    assert_as_expected(one.score(TEXTS), expected_first, TEXTS)
    assert_as_expected(two.score(TEXTS), expected_second, TEXTS)


def test_a_document_is_scored_in_bfloat16_close_to_float32(tiny_tokenizer: Any) -> None:
    texts = SENTENCES
    model = tiny_model("granite")
    full = PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=64)
    expected = full.score(texts)
    full.remove()
    found = PairedScorer(model.to(torch.bfloat16), tiny_tokenizer, SOME_HEADS, window=64).score(texts)
    for score, other in zip(found, expected, strict=True):
        assert score.status == "scored"
        assert score.base_loss == pytest.approx(other.base_loss, rel=0.02)
