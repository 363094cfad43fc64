"""A SentencePiece vocabulary (BPE by scores) as a BPE of ranked merges that gives the same ids, or a ValueError.

SentencePiece joins the neighbours whose concatenation is the piece with the best score, the leftmost first. A ranked
BPE joins the pair with the best rank. When a part of a text becomes a piece, no merge crosses the ends of that part, so
the text around it makes no difference. So the last merge is always the one that makes this piece when it is the whole
text, and the piece needs no other merge. The merges are ranked by the scores of their pieces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from typing import Any

from udfs.gguf_file import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Vocabulary

SPACE = "\u2581"
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]
# The tokenizers library normalises user-defined words like a text, and so would put the space prefix before them too.
# They begin with this instead, which the normaliser removes together with the prefix. No text begins like this.
NO_PREFIX = "\ufdd0\ufdd1user-defined\ufdd1\ufdd0"


def sentencepiece_parts(vocabulary: Vocabulary) -> dict[str, Any]:
    """normalizer, pre_tokenizer, model and decoder of tokenizer.json, and the user-defined pieces' names in it."""
    user_defined = user_defined_pieces(vocabulary)
    prefixed = vocabulary.add_space_prefix is not False
    names = {index: f"{NO_PREFIX}{piece}" if prefixed else piece for piece, index in user_defined.items()}
    normalizers: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefixed:
        normalizers.insert(0, {"type": "Prepend", "prepend": SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    if prefixed and user_defined:
        # \A matches only at the beginning of the text.
        pattern = {"Regex": rf"\A{SPACE}{NO_PREFIX}"}
        normalizers.append({"type": "Replace", "pattern": pattern, "content": ""})
        decoders.insert(0, {"type": "Replace", "pattern": {"String": NO_PREFIX}, "content": ""})
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "model": _model(vocabulary, names),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "user_defined": names,
    }


def user_defined_pieces(vocabulary: Vocabulary) -> dict[str, int]:
    """The pieces that are found before any merge, with U+2581 for spaces, and their ids.

    llama.cpp's converters write spaces in them (such as Gemma's runs of spaces), SentencePiece's model files U+2581.
    Raises ValueError where a piece occurs twice.
    """
    pieces = {piece.replace(" ", SPACE): index for piece, index in vocabulary.of_type(USER_DEFINED).items()}
    others = vocabulary.of_type(NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE)
    twice = [piece for piece in pieces if piece in others]
    if twice or len(pieces) < len(vocabulary.of_type(USER_DEFINED)):
        raise ValueError(
            f"its vocabulary has the piece {ascii((twice or list(pieces))[0])[:60]} twice; convert it again."
        )
    return pieces


def byte_pieces(vocabulary: Vocabulary) -> dict[str, int]:
    """All 256 pieces for bytes, which spell characters without a piece, or none; ValueError for only some of them."""
    pieces = vocabulary.of_type(BYTE)
    if pieces and set(pieces) != set(BYTE_PIECES):
        raise ValueError(
            f"its vocabulary has {len(pieces)} pieces for bytes, not the 256 from <0x00> to <0xFF>; convert it again."
        )
    return pieces


def unknown_piece(vocabulary: Vocabulary) -> int | None:
    """The id of the piece for unknown characters; None if bytes spell them; ValueError where neither is so."""
    unknown = vocabulary.of_type(UNKNOWN)
    if len(unknown) == 1:
        return next(iter(unknown.values()))
    if not unknown and byte_pieces(vocabulary):
        return None
    raise ValueError(f"its vocabulary has {len(unknown)} unknown pieces, not one; convert the model to GGUF again.")


def mergeable(vocabulary: Vocabulary) -> dict[str, float]:
    """The scores of the pieces that merges make."""
    # User-defined pieces are found before any merge. Unused ones are made like others, and are split again at the end.
    user_defined = set(user_defined_pieces(vocabulary))
    pieces = vocabulary.of_type(NORMAL, UNUSED)
    return {
        piece: vocabulary.scores[i] for piece, i in pieces.items() if len(piece) > 1 and user_defined.isdisjoint(piece)
    }


def merged(symbols: list[str], scores: dict[str, float]) -> tuple[list[str], tuple[str, str] | None]:
    """The symbols after all merges, best score first and leftmost among equals; and the last merge."""
    symbols, last = list(symbols), None
    while True:
        best: tuple[float, int] | None = None
        for index in range(len(symbols) - 1):
            score = scores.get(symbols[index] + symbols[index + 1])
            if score is not None and (best is None or score > best[0]):
                best = score, index
        if best is None:
            return symbols, last
        index = best[1]
        last = symbols[index], symbols[index + 1]
        symbols[index : index + 2] = ["".join(last)]


def _model(vocabulary: Vocabulary, names: dict[int, str]) -> dict[str, Any]:
    unknown = unknown_piece(vocabulary)
    # A character whose piece is unused is read like a character without a piece.
    hidden = {index: f"{NO_PREFIX}{piece}" for piece, index in vocabulary.of_type(UNUSED).items() if len(piece) == 1}
    return {
        "type": "BPE",
        "unk_token": None if unknown is None else vocabulary.tokens[unknown],
        "fuse_unk": True,
        "byte_fallback": bool(byte_pieces(vocabulary)),
        "ignore_merges": False,
        "vocab": {(names | hidden).get(index, token): index for index, token in enumerate(vocabulary.tokens)},
        "merges": [list(pair) for pair in _merges(vocabulary)],
    }


def _merges(vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    scores = mergeable(vocabulary)
    unused = vocabulary.of_type(UNUSED)
    known = set(vocabulary.tokens) - set(unused)
    merges: dict[str, tuple[str, str]] = {}
    for piece in scores:
        symbols, last = merged(list(piece), scores)
        if len(symbols) == 1 and last is not None:
            merges[piece] = last
            if piece in unused:
                raise _inexact(f"its piece {ascii(piece)[:60]} is unused but made by merges")
            if missing := set(piece) - known:
                raise _inexact(f"its piece {ascii(piece)[:60]} has the character {min(missing)!a}, which is no piece")
    ranked = sorted(merges, key=lambda piece: -scores[piece])
    for _, group in groupby(ranked, key=lambda piece: scores[piece]):
        tied = list(group)
        if len(tied) > 1:
            tied = _in_order(tied, merges, scores)
        yield from (merges[piece] for piece in tied)


def _in_order(tied: list[str], merges: dict[str, tuple[str, str]], scores: dict[str, float]) -> list[str]:
    """Pieces with equal scores, in an order of ranks with the same effect as leftmost first; ValueError if none has it.

    Of two merges that share a symbol, the left one must come first. Merges that share none may come in any order,
    unless one of them makes a new pair with an equal or better score.
    """
    members = set(tied)
    for piece, parts in merges.items():
        if members.intersection(parts) and scores[piece] >= scores[tied[0]]:
            raise _inexact(f"its pieces {ascii(tied[0])[:60]} and {ascii(tied[1])[:60]} have one score")
    beginning_with: dict[str, list[str]] = defaultdict(list)
    for piece in tied:
        beginning_with[merges[piece][0]].append(piece)
    before: dict[str, list[str]] = {piece: [] for piece in tied}
    for piece in tied:
        for right in beginning_with[merges[piece][1]]:
            if right != piece:
                before[right].append(piece)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError as error:
        first, second = error.args[1][:2]
        raise _inexact(f"its pieces {ascii(first)[:60]} and {ascii(second)[:60]} have one score") from error


def _inexact(why: str) -> ValueError:
    return ValueError(f"{why}, so that its ids cannot be given exactly.")
