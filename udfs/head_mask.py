"""Masked heads as a file with one `layer,head` line per head, and their check against the model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from schemas.identity import identity

# Layer and head, counted from 0.
Head = tuple[int, int]
# What masked heads do: attend equally to all of the past, or output nothing.
MaskMode = Literal["uniform", "zero"]
LINE = re.compile(r"^\s*(\d+)\s*,\s*(\d+)\s*$")


def read_heads_file(path: str | Path) -> list[Head]:
    """The heads of a text file with one `layer,head` line per head, sorted; blank lines and # comments are skipped.

    Raises ValueError for a file that is missing or empty, a line of another form, and a head named twice.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"heads file {path} cannot be read: {error}; detect-heads --heads-file writes one") from error
    heads: list[Head] = []
    for number, line in enumerate(lines, start=1):
        content = line.split("#", 1)[0]
        if not content.strip():
            continue
        match = LINE.match(content)
        if match is None:
            raise ValueError(
                f"{path}, line {number} is {line.strip()[:60]!r}; each line must be layer,head, such as 18,6"
            )
        head = (int(match[1]), int(match[2]))
        if head in heads:
            raise ValueError(f"{path}, line {number} names layer {head[0]}, head {head[1]} a second time; remove it")
        heads.append(head)
    if not heads:
        raise ValueError(f"heads file {path} names no head; write a layer,head line for each, such as 18,6")
    return sorted(heads)


def write_heads_file(path: str | Path, heads: Iterable[Head], header: str) -> None:
    """Write header as a comment, then one `layer,head` line per head, in order; ValueError where that fails."""
    lines = [f"# {header}", *(f"{layer},{head}" for layer, head in sorted(heads))]
    target = Path(path).expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"heads file {path} cannot be written: {error}; head_masks has the mask all the same"
        ) from error


def check_heads(heads: Iterable[Head], model_id: str, num_layers: int, num_heads: int) -> None:
    """Raise ValueError, naming the first head that the model does not have."""
    for layer, head in heads:
        if not (0 <= layer < num_layers and 0 <= head < num_heads):
            raise ValueError(
                f"head mask names layer {layer}, head {head}, but {model_id} has {num_layers} layers "
                f"of {num_heads} heads, counted from 0; detect the heads of this model first: "
                "attention-influence detect-heads --model ..."
            )


def mask_identity(model_id: str, heads: Iterable[Head]) -> str:
    """A mask's id: 16 hex digits that depend only on the model and the set of heads."""
    return identity(model_id, *(f"{layer},{head}" for layer, head in sorted(heads)))
