"""Windows of whole documents: nothing is lost, each starts as the tokenizer starts a text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from tests.udfs.conftest import BOS, CONTROL_WORD, byte_level_tokenizer
from udfs.prefix_tokens import prefix_tokens
from udfs.windows import Window, check_window, text_windows

TOKEN_IDS = st.lists(st.integers(10, 99), min_size=2, max_size=80)


@given(TOKEN_IDS, st.lists(st.integers(0, 9), max_size=2), st.integers(4, 20))
def test_the_windows_together_are_the_whole_document(token_ids: list[int], start: list[int], window: int) -> None:
    pieces = [piece.token_ids for piece in text_windows(3, token_ids, start, window)]
    joined = [token for piece in pieces for token in piece[len(start) :]]
    # A last token that would be alone in its window has nothing to be predicted from.
    alone = not start and len(token_ids) % window == 1
    assert joined == (token_ids[:-1] if alone else token_ids)
    assert all(piece[: len(start)] == start and 2 <= len(piece) <= window for piece in pieces)
    assert all(len(piece) == window for piece in pieces[:-1])


@given(TOKEN_IDS, st.integers(4, 20))
def test_with_a_prefix_token_every_token_of_the_document_is_predicted(token_ids: list[int], window: int) -> None:
    assert sum(piece.num_predicted_tokens for piece in text_windows(0, token_ids, [1], window)) == len(token_ids)


def test_windows_know_their_document_and_do_not_overlap() -> None:
    assert text_windows(7, [10, 11, 12, 13, 14], [1], 3) == [
        Window(7, [1, 10, 11]),
        Window(7, [1, 12, 13]),
        Window(7, [1, 14]),
    ]
    assert text_windows(7, [10, 11, 12, 13, 14], [], 2) == [Window(7, [10, 11]), Window(7, [12, 13])]


def test_a_document_that_fits_is_one_window() -> None:
    assert text_windows(0, [10, 11, 12], [], 3) == [Window(0, [10, 11, 12])]


def test_prefix_tokens_are_those_that_the_tokenizer_puts_before_a_text(tiny_tokenizer: Any, bos_tokenizer: Any) -> None:
    assert prefix_tokens(tiny_tokenizer) == []
    assert prefix_tokens(bos_tokenizer) == [bos_tokenizer.bos_token_id] == [1]


def test_tokens_that_the_tokenizer_puts_after_a_text_are_no_part_of_a_window() -> None:
    tokenizer = byte_level_tokenizer(bos=True)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A {CONTROL_WORD}", special_tokens=[(BOS, 1), (CONTROL_WORD, 0)]
    )
    assert tokenizer("a")["input_ids"][-1] == 0
    assert prefix_tokens(tokenizer) == [1]


@pytest.mark.parametrize(("window", "start"), [(1, []), (0, []), (2, [1]), (3, [1, 2]), (-5, [])])
def test_a_window_without_room_for_two_tokens_of_text_is_refused(window: int, start: list[int]) -> None:
    with pytest.raises(ValueError, match=f"a window of {window} tokens has no room.*use at least {len(start) + 2}"):
        check_window(window, start, vocab_size=10)
    check_window(len(start) + 2, start, vocab_size=10)


def test_a_prefix_token_that_the_model_lacks_is_refused() -> None:
    check_window(16, [9], vocab_size=10)
    with pytest.raises(ValueError, match="token 10, beyond the model's vocabulary of 10"):
        check_window(16, [10], vocab_size=10)
