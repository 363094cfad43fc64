"""Text on a person's terminal: nothing in a document may move the cursor or hide a line."""

from __future__ import annotations

from collections.abc import Sequence

ELLIPSIS = "…"
# How many documents, files or names a message shows of many.
EXAMPLES = 3


def printable(text: str, width: int | None = None) -> str:
    """The text on one line with control, format and unpaired characters escaped, cut to width with an ellipsis."""
    # Cut first: a document may be megabytes long, and escaping makes no text shorter.
    head = text if width is None else text[: width + 1]
    escaped = "".join(char if char.isprintable() else _escape(char) for char in head)
    if width is None or len(escaped) <= width:
        return escaped
    return escaped[: width - 1] + ELLIPSIS


def examples(texts: Sequence[str], width: int = 60) -> str:
    """The first few texts, each on one line and cut to width, with an ellipsis where there are more."""
    more = ["..."] if len(texts) > EXAMPLES else []
    return ", ".join([printable(text, width) for text in texts[:EXAMPLES]] + more)


def plain_table(header: list[str], rows: list[list[str]]) -> str:
    """The rows under their header in columns of equal width, two spaces apart; no spaces at the ends of lines."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
