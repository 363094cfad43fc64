"""Reading ahead: in order, one item and no more, and errors where they belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.udfs.conftest import SENTENCES
from udfs.document_score import DocumentScore
from udfs.tokenised import TextReader, one_ahead


def test_items_come_in_order_and_all_of_them() -> None:
    assert list(one_ahead(iter(range(50)))) == list(range(50))
    assert list(one_ahead(iter([]))) == []
    assert list(one_ahead(iter([None, None]))) == [None, None]


def test_the_next_item_is_made_while_this_one_is_used_and_no_more() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert made[1].wait(10)
    assert not made[2].wait(0.2)
    assert next(ahead) == 1
    assert made[2].wait(10)
    assert list(ahead) == [2]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the other end is gone")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the other end is gone"):
        next(ahead)


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    ahead = one_ahead(iter(range(10)))
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_buffer_closes_once_it_has_enough_tokens(tiny_tokenizer: Any) -> None:
    reader = TextReader(tiny_tokenizer, [], 64, 1000)
    num_tokens = [len(tiny_tokenizer(text)["input_ids"]) for text in SENTENCES[:4]]
    batches = [[text] for text in SENTENCES[:4]]
    buffers = list(reader.buffers(batches, lambda _: sum(num_tokens[:2])))
    assert [buffer.num_tokens for buffer in buffers] == [num_tokens[:2], num_tokens[2:4]]
    assert [window.document for window in buffers[1].windows()] == [0, 1]


def test_a_large_batch_fills_several_buffers_of_the_sizes_that_are_asked_for(tiny_tokenizer: Any) -> None:
    reader = TextReader(tiny_tokenizer, [], 64, 1000)
    buffers = list(reader.buffers([["a cat", None, "a dog"] * 20], lambda number: [1, 9][min(number, 1)]))
    assert len(buffers[0].documents) == 1
    assert all(9 <= sum(buffer.num_tokens) < 9 + 8 for buffer in buffers[1:-1])
    assert sum(len(buffer.documents) for buffer in buffers) == 60


class PanicException(BaseException):
    """As a panic of Rust arrives in Python."""


@pytest.mark.parametrize("error", [Exception("unk_id is missing"), PanicException("Onig: regex search error")])
def test_whatever_a_tokenizer_raises_is_the_failure_of_that_text_alone(error: BaseException) -> None:
    def tokenizer(text: str, **_: Any) -> dict[str, list[int]]:
        if "~" in text:
            raise error
        return {"input_ids": [1, 2, 3]}

    (buffer,) = TextReader(tokenizer, [], 16, 99).buffers([["good", "a ~", "good"]], lambda _: 100)
    first, second, third = buffer.documents
    assert isinstance(second, DocumentScore)
    assert (second.status, second.error_class) == ("failed", type(error).__name__)
    assert isinstance(first, list)
    assert isinstance(third, list)


def test_an_interrupt_is_no_texts_failure() -> None:
    def tokenizer(_text: str, **_: Any) -> dict[str, list[int]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(TextReader(tokenizer, [], 16, 99).buffers([["good"]], lambda _: 100))
