"""Token windows of a whole document: nothing is truncated, and each starts with the prefix tokens of a text.

No tensors here: a window is a list of its token ids.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """One window of a document: the token ids that the model reads, including the prefix tokens.

    document: the document's index. num_unscored: how many tokens at its start have no loss that counts. These are the
    first token, which has nothing to be predicted from, and all prefix tokens, which are no text.
    """

    document: int
    token_ids: list[int]
    num_unscored: int = 1

    @property
    def num_predicted_tokens(self) -> int:
        """Tokens whose loss counts."""
        return len(self.token_ids) - self.num_unscored


def check_window(window: int, prefix: list[int], vocab_size: int) -> None:
    """Raise ValueError unless the model knows the prefix tokens, and a window has room for two tokens after them."""
    if max(prefix, default=0) >= vocab_size:
        raise ValueError(
            f"the tokenizer starts each text with token {max(prefix)}, beyond the model's vocabulary of {vocab_size}; "
            "use the model's own tokenizer"
        )
    if window - len(prefix) < 2:
        raise ValueError(f"a window of {window} tokens has no room for text; use at least {len(prefix) + 2}")


def text_windows(document: int, token_ids: list[int], prefix: list[int], window: int) -> list[Window]:
    """Non-overlapping windows of at most `window` tokens, each starting with the prefix tokens.

    Without prefix tokens, the first token of each window has nothing to be predicted from. A last window that holds
    only such a token is left out, since it has no loss (our choice; the paper says nothing about it).
    """
    size = window - len(prefix)
    pieces = (prefix + token_ids[begin : begin + size] for begin in range(0, len(token_ids), size))
    num_unscored = max(1, len(prefix))
    return [Window(document, piece, num_unscored) for piece in pieces if len(piece) > num_unscored]
