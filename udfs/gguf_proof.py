"""The proof that a converted folder reads texts, and predicts, exactly like the GGUF file that it was made from.

Shapes: T tokens, V vocabulary entries.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from udfs.gguf_byte_level import merge_pairs, pre_tokenizer
from udfs.gguf_file import CONTROL, UNUSED, USER_DEFINED, Vocabulary
from udfs.gguf_sentencepiece import SPACE, byte_pieces, mergeable, merged, unknown_piece, user_defined_pieces
from udfs.gguf_settings import check_settings
from udfs.gguf_tokenizer import start_and_end_ids
from udfs.tokenizer import read_tokenizer

AWKWARD_TEXTS = (
    "a",
    " ",
    "   ",
    "\n",
    "The capital of France is Paris.",
    " leading, double  and trailing   ",
    "line\nends\r\nof\n\n\nall\tkinds\t\t",
    "def f(x):\n    return {'a': x[0], \"b\": x**2}  # 100%\n",
    "It's they'RE we'll I'd don't 'tis",
    "0 12 345 6,789.01  1234567  \u0663\u0664 \u00bd x\u00b2",
    "na\u00efve e\u0301te\u0301 \u1eeb u\u031b\u0300 \ufb01 \u0130stanbul stra\u00dfe",
    "\u4e2d\u6587\u5b57\u7b26 \u3072\u3089\u304c\u306a \u30ab\u30bf \ud55c\uad6d\uc5b4 \u0e44\u0e17\u0e22",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \U00010348\U0010ffff",
    "\x00\x01\x7f\u00a0\u2003\u2028\u3000\ufeff\ufffd",
    f"{SPACE} a{SPACE}b {SPACE}{SPACE}",
    "aaaaaaaaaaa anananananana ababab ------------ ================",
    "<s></s><unk><pad><|endoftext|><|im_start|>user\n[INST]<0x0A><bos>",
)
PROOF_TOKENS = 12


def prove_tokenizer(name: str, vocabulary: Vocabulary, folder: Path) -> None:
    """Raise ValueError unless the folder's tokenizer gives awkward texts the ids that the file's vocabulary defines."""
    tokenizer = read_tokenizer(name, str(folder), None)
    start, end = start_and_end_ids(vocabulary)
    plain = _sentencepiece_ids if vocabulary.model == "llama" else _byte_level_ids
    ids_of = plain(vocabulary)
    # Texts with control words too, because these are plain text in a document.
    words = [token for token in vocabulary.of_type(CONTROL, USER_DEFINED) if len(token) < 100][:50]
    for text in (*AWKWARD_TEXTS, *(f"a{word} {word}b" for word in words)):
        expected, found = start + ids_of(text) + end, list(tokenizer(text)["input_ids"])
        if found != expected:
            position = next(
                (i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), len(expected)
            )
            raise ValueError(
                f"its converted tokenizer reads the text {ascii(text)[:60]} in another way, from token {position} on, "
                "than its vocabulary says."
            )


def check_weights(reader: Any, vocabulary: Vocabulary, model: Any) -> None:
    """Raise ValueError unless model has all of the file's weights, rows for its vocabulary, and its settings."""
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < len(vocabulary.tokens):
        raise ValueError(
            f"it has {rows} embeddings for {len(vocabulary.tokens)} tokens; convert the model to GGUF again."
        )
    stored = sum(math.prod(int(size) for size in tensor.shape) for tensor in reader.tensors)
    used = sum(parameter.numel() for parameter in model.parameters())
    if stored != used:
        extra = [tensor.name for tensor in reader.tensors if "rope_" in tensor.name]
        raise ValueError(
            f"it has {stored:,} weights, but the model that transformers makes of it has {used:,}"
            + (f" (it does not use {extra[0]})" if extra else "")
            + ", so that its losses would be another model's."
        )
    check_settings(reader, model.config)


@torch.inference_mode()
def proof_logits(model: Any) -> torch.Tensor:
    """The model's logits (1, T, V) float32 after a few tokens of its vocabulary."""
    rows = model.get_input_embeddings().weight.shape[0]
    token_ids = torch.linspace(0, rows - 1, min(PROOF_TOKENS, rows)).long()[None]  # (1, T)
    logits: torch.Tensor = model.eval()(token_ids).logits.float()
    return logits


def check_same_logits(expected: torch.Tensor, found: torch.Tensor) -> None:
    """Raise ValueError unless the logits (1, T, V) of the saved model agree with those of the model read from GGUF."""
    scale = max(1.0, float(expected.abs().max()))
    if not torch.isfinite(expected).all() or float((expected - found).abs().max()) > 1e-4 * scale:
        raise ValueError("its converted weights predict other tokens than the file's, or no numbers at all.")


def _sentencepiece_ids(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """A text's ids by the definition of SentencePiece's BPE: best score first, leftmost among equals."""
    scores, in_bytes, unknown = mergeable(vocabulary), byte_pieces(vocabulary), unknown_piece(vocabulary)
    ids = {token: i for i, token in enumerate(vocabulary.tokens) if vocabulary.types[i] != UNUSED}
    frozen = user_defined_pieces(vocabulary)
    prefix = SPACE if vocabulary.add_space_prefix is not False else ""

    def ids_of(text: str) -> list[int]:
        token_ids: list[int] = []
        for piece, symbols in _between(prefix + text.replace(" ", SPACE), frozen):
            for symbol in merged(list(symbols), scores)[0]:
                if symbol in ids:
                    token_ids.append(ids[symbol])
                elif in_bytes:
                    token_ids += [in_bytes[f"<0x{byte:02X}>"] for byte in symbol.encode()]
                elif unknown is not None and token_ids[-1:] != [unknown]:
                    token_ids.append(unknown)
            token_ids += [] if piece is None else [frozen[piece]]
        return token_ids

    return ids_of


def _byte_level_ids(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """A text's ids by the definition of byte-level BPE: best rank first, leftmost among equals."""
    pre, ids = pre_tokenizer(vocabulary), {token: index for index, token in enumerate(vocabulary.tokens)}
    # Here the pair has the rank, not the token that it makes.
    ranks = {pair: rank for rank, pair in enumerate(merge_pairs(vocabulary))}
    frozen = vocabulary.of_type(USER_DEFINED)
    words_of = partial(_words, pre.steps)

    def ids_of(text: str) -> list[int]:
        token_ids: list[int] = []
        for piece, between in _between(text, frozen):
            for word in words_of(unicodedata.normalize("NFC", between) if pre.nfc else between):
                symbols = [word] if pre.ignore_merges and word in ids else list(word)
                while pairs := [pair for pair in pairwise(symbols) if pair in ranks]:
                    best = min(pairs, key=ranks.__getitem__)
                    index = next(i for i in range(len(symbols)) if tuple(symbols[i : i + 2]) == best)
                    symbols[index : index + 2] = ["".join(best)]
                token_ids += [ids[symbol] for symbol in symbols if symbol in ids]
            token_ids += [] if piece is None else [frozen[piece]]
        return token_ids

    return ids_of


def _words(steps: tuple[dict[str, Any], ...], text: str) -> list[str]:
    """The words into which the pre-tokenizer alone splits text, in the characters that stand for bytes."""
    model = {"type": "BPE", "vocab": {}, "merges": []}
    sequence = {"type": "Sequence", "pretokenizers": list(steps)}
    alone = Tokenizer.from_str(
        json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": sequence, "model": model})
    )
    return [word for word, _ in alone.pre_tokenizer.pre_tokenize_str(text)]


def _between(text: str, pieces: dict[str, int]) -> Iterator[tuple[str | None, str]]:
    """(piece, the text before it) for each piece in text, leftmost and longest first; at the end (None, the rest)."""
    by_length = sorted(pieces, key=len, reverse=True)
    begin = position = 0
    while position < len(text):
        piece = next((piece for piece in by_length if text.startswith(piece, position)), None)
        if piece is None:
            position += 1
            continue
        yield piece, text[begin:position]
        begin = position = position + len(piece)
    yield None, text[begin:]
