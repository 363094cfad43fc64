"""Every text gets a row, and every setting that cannot work is refused before any text."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from tests.udfs.cases import SOME_HEADS, TEXTS, WINDOW, assert_as_expected, assert_same
from tests.udfs.conftest import BOS, CONTROL_WORD, SENTENCES, byte_level_tokenizer
from tests.udfs.models import VOCAB_SIZE, tiny_model
from tests.udfs.oracle import Head, Oracle
from udfs.document_score import DocumentScore
from udfs.paired import PairedScorer


def test_no_texts_give_no_scores(llama: Any, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW)
    assert scorer.score([]) == []
    assert list(scorer.score_stream([])) == []
    assert [score for scores in scorer.score_stream([[], []]) for score in scores] == []


@pytest.mark.parametrize("text", [None, "", " ", "\n\t \r\n", "\u00a0\u2003"])
def test_a_text_without_words_is_empty(text: str | None, llama: Any, tiny_tokenizer: Any) -> None:
    (score,) = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW).score([text])
    assert score == DocumentScore("empty")


@pytest.mark.parametrize("bos", [False, True], ids=["plain", "bos"])
def test_a_text_of_one_token_is_too_short(bos: bool, llama: Any) -> None:
    (score,) = PairedScorer(llama, byte_level_tokenizer(bos=bos), SOME_HEADS, window=WINDOW).score(["a"])
    assert score == DocumentScore("too_short", num_tokens=1)


@pytest.mark.parametrize("bos", [False, True], ids=["plain", "bos"])
def test_two_tokens_are_enough(bos: bool, llama: Any) -> None:
    (score,) = PairedScorer(llama, byte_level_tokenizer(bos=bos), SOME_HEADS, window=WINDOW).score(["ab"])
    assert (score.status, score.num_tokens, score.num_predicted_tokens) == ("scored", 2, 1 + bos)


def test_special_tokens_at_the_start_are_read_and_never_scored(llama: Any) -> None:
    tokenizer = byte_level_tokenizer(bos=True)
    ids = tokenizer.convert_tokens_to_ids([BOS, CONTROL_WORD])
    template = TemplateProcessing(
        single=f"{BOS} {CONTROL_WORD} $A", special_tokens=[(BOS, ids[0]), (CONTROL_WORD, ids[1])]
    )
    tokenizer._tokenizer.post_processor = template
    oracle = Oracle(llama, tokenizer, SOME_HEADS, "uniform", WINDOW, start=ids)
    scores = PairedScorer(llama, tokenizer, SOME_HEADS, window=WINDOW).score(TEXTS)
    assert_as_expected(scores, oracle, TEXTS)
    assert all(score.num_predicted_tokens == score.num_tokens for score in scores)


def test_nul_bytes_are_text(llama: Any, tiny_tokenizer: Any) -> None:
    texts = ["\0\0\0", "before\0after"]
    oracle = Oracle(llama, tiny_tokenizer, SOME_HEADS, "uniform", WINDOW)
    assert_as_expected(PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW).score(texts), oracle, texts)


def test_a_lone_surrogate_fails_alone(llama: Any, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW)
    expected = scorer.score(SENTENCES[:2])
    before, broken, after = scorer.score([SENTENCES[0], "half of a pair: \ud83d.", SENTENCES[1]])
    assert_same([before, after], expected)
    assert broken.status == "failed"
    assert broken.error_class
    assert broken.error_message
    assert "cannot be tokenised" in broken.error_message
    assert len(broken.error_message) <= 300
    broken.error_message.encode()  # what goes into a table must itself be Unicode text


def test_200000_characters_without_a_space_are_scored_in_seconds(llama: Any, tiny_tokenizer: Any) -> None:
    text = "abcdefghij" * 20_000
    begin = time.monotonic()
    (score,) = PairedScorer(llama, tiny_tokenizer, [(2, 0)], window=128).score([text])
    assert time.monotonic() - begin < 20
    assert score.status == "scored"
    assert score.num_tokens == len(tiny_tokenizer(text)["input_ids"])


def test_a_control_word_in_a_text_is_plain_text(llama: Any, tiny_tokenizer: Any) -> None:
    text = f"A text may mention {CONTROL_WORD} and {BOS}."
    (score,) = PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=128).score([text])
    token_ids = tiny_tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    assert not {0, 1} & set(token_ids)
    assert score.num_tokens == len(token_ids)


def test_a_token_beyond_the_vocabulary_fails_alone(llama: Any, tiny_tokenizer: Any) -> None:
    wide = byte_level_tokenizer(bos=False)
    wide.add_tokens(["zebra"])
    scorer = PairedScorer(llama, wide, SOME_HEADS, window=WINDOW)
    good, bad = scorer.score(["a horse", "a zebra"])
    assert good.status == "scored"
    assert (bad.status, bad.error_class) == ("failed", "TokenOutOfVocabulary")
    assert bad.error_message
    assert str(VOCAB_SIZE) in bad.error_message


def test_a_prefix_token_beyond_the_vocabulary_is_refused_at_once(llama: Any) -> None:
    tokenizer = byte_level_tokenizer(bos=True)
    tokenizer.add_special_tokens({"bos_token": "<start>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<start> $A", special_tokens=[("<start>", VOCAB_SIZE)]
    )
    with pytest.raises(ValueError, match=f"token {VOCAB_SIZE}.*{VOCAB_SIZE}"):
        PairedScorer(llama, tokenizer, SOME_HEADS, window=WINDOW)


def test_a_loss_that_is_not_a_number_fails_its_document_alone(tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    expected_scorer = PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=WINDOW)
    expected = expected_scorer.score(["a horse"])
    expected_scorer.remove()
    (zed,) = tiny_tokenizer("z")["input_ids"]
    model.model.embed_tokens.weight[zed] = torch.nan
    good, bad = PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=WINDOW).score(["a horse", "azure"])
    assert_same([good], expected)
    assert (bad.status, bad.error_class, bad.influence_score) == ("failed", "NonFiniteLoss", None)


def test_a_model_whose_weights_are_not_numbers_is_refused_for_that_reason(llama: Any, tiny_tokenizer: Any) -> None:
    llama.model.norm.weight[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=WINDOW)


@pytest.mark.parametrize("window", [129, 4096])
def test_a_window_beyond_the_models_context_is_refused(window: int, llama: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=f"window of {window} tokens is beyond the 128.*--window 128"):
        PairedScorer(llama, tiny_tokenizer, SOME_HEADS, window=window)


@pytest.mark.parametrize("window", [-1, 0, 1, 2])
def test_a_window_without_room_for_text_is_refused_before_any_text(window: int, llama: Any, bos_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=f"window of {window} tokens has no room for text; use at least 3"):
        PairedScorer(llama, bos_tokenizer, SOME_HEADS, window=window)


def test_an_empty_mask_is_refused(llama: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="head mask is empty"):
        PairedScorer(llama, tiny_tokenizer, [], window=WINDOW)


@pytest.mark.parametrize("head", [(3, 0), (0, 4), (-1, 0), (0, -1)])
def test_a_head_that_the_model_lacks_is_refused(head: Head, llama: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=f"layer {head[0]}, head {head[1]}, but llama has 3 layers of 4 heads"):
        PairedScorer(llama, tiny_tokenizer, [(0, 0), head], window=WINDOW)


def test_an_unknown_mask_mode_is_refused(llama: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=r"'mean'.*uniform, zero"):
        PairedScorer(llama, tiny_tokenizer, SOME_HEADS, mode="mean", window=WINDOW)  # type: ignore[arg-type]
