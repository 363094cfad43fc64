"""Token windows of a whole document: nothing is truncated, and each starts as the tokenizer starts a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from udfs.start_token import start_of


@dataclass(frozen=True)
class Window:
    """One window of a document: the token ids the model reads, the special ones at its start included.

    num_unscored: tokens at its start whose loss does not count: the first, which has nothing to be predicted from, and
    all special ones, which are no text.
    """

    document: int
    token_ids: list[int]
    num_unscored: int = 1

    @property
    def num_predicted_tokens(self) -> int:
        """Tokens whose loss counts."""
        return len(self.token_ids) - self.num_unscored


def start_tokens(tokenizer: Any) -> list[int]:
    """The special tokens that the tokenizer puts before a text, such as a BOS; often none."""
    return start_of(lambda text, **options: tokenizer(text, verbose=False, **options).encodings[0])


def check_window(window: int, start: list[int], vocab_size: int) -> None:
    """Raise ValueError unless the model knows the start tokens, and a window has room for two of text after them."""
    if max(start, default=0) >= vocab_size:
        raise ValueError(
            f"the tokenizer starts each text with token {max(start)}, beyond the model's vocabulary of {vocab_size}; "
            "use the model's own tokenizer"
        )
    if window - len(start) < 2:
        raise ValueError(f"a window of {window} tokens has no room for text; use at least {len(start) + 2}")


def text_windows(document: int, token_ids: list[int], start: list[int], window: int) -> list[Window]:
    """Non-overlapping windows of at most `window` positions, each starting with the start tokens.

    Without start tokens the first token of each window has nothing to be predicted from; a last window
    that holds only such a token is left out, since it has no loss (ours; the paper is silent).
    """
    size = window - len(start)
    pieces = (start + token_ids[begin : begin + size] for begin in range(0, len(token_ids), size))
    num_unscored = max(1, len(start))
    return [Window(document, piece, num_unscored) for piece in pieces if len(piece) > num_unscored]
