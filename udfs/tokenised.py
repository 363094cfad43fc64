"""Texts as token windows, made by a thread of its own while the model reads the windows before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from udfs.document_score import DocumentScore, failed
from udfs.windows import Window, text_windows

# The most documents in a buffer, however few tokens they have.
MAX_DOCUMENTS = 100_000
Item = TypeVar("Item")


@dataclass
class Buffer:
    """Consecutive documents, each as its windows or, where it has none, as the score that says why.

    num_tokens: the tokens of each document, without prefix tokens.
    """

    documents: list[list[Window] | DocumentScore] = field(default_factory=list)
    num_tokens: list[int] = field(default_factory=list)

    def windows(self) -> list[Window]:
        """All windows, in the documents' order."""
        return [window for document in self.documents if isinstance(document, list) for window in document]


@dataclass(frozen=True)
class TextReader:
    """Turns texts into windows of at most window tokens, each of which starts with the tokenizer's prefix tokens."""

    tokenizer: Any
    prefix: list[int]
    window: int
    vocab_size: int

    def buffers(self, batches: Iterable[Sequence[str | None]], num_tokens: Callable[[int], int]) -> Iterator[Buffer]:
        """The texts of all batches, in order, in buffers: buffer i has at least num_tokens(i) tokens, counted from 0.

        Only the last buffer may have fewer. A batch may be divided among several buffers.
        """
        buffer, held, number = Buffer(), 0, 0
        for text in itertools.chain.from_iterable(batches):
            document, count = self._read(len(buffer.documents), text)
            buffer.documents.append(document)
            buffer.num_tokens.append(count)
            held += count
            # Documents without tokens take memory too.
            if held >= num_tokens(number) or len(buffer.documents) >= MAX_DOCUMENTS:
                yield buffer
                buffer, held, number = Buffer(), 0, number + 1
        if buffer.documents:
            yield buffer

    def _read(self, index: int, text: str | None) -> tuple[list[Window] | DocumentScore, int]:
        """(the document's windows, or the score of a text that has no loss; its number of tokens)."""
        if text is None or not text.strip():
            return DocumentScore("empty"), 0
        try:
            token_ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        except BaseException as error:
            # For example, a lone surrogate is a valid Python string, but no Unicode text. Code written in Rust raises
            # bare Exceptions, and its panics are not even Exceptions.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            return failed(type(error).__name__, f"the text cannot be tokenised: {error}"), 0
        if len(token_ids) < 2:
            return DocumentScore("too_short", num_tokens=len(token_ids)), 0
        if max(token_ids) >= self.vocab_size:
            message = f"token id {max(token_ids)} is beyond the model's vocabulary of {self.vocab_size}"
            return failed("TokenOutOfVocabulary", message), 0
        return text_windows(index, token_ids, prefix=self.prefix, window=self.window), len(token_ids)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items in order; a thread makes the next one while this one is used. Its errors are raised here."""
    nothing_left = object()
    with ThreadPoolExecutor(1, thread_name_prefix="tokenise") as thread:
        ahead = thread.submit(next, items, nothing_left)
        while (item := ahead.result()) is not nothing_left:
            ahead = thread.submit(next, items, nothing_left)
            yield item  # type: ignore[misc]
