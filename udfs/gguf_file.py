"""What a GGUF file says about itself and its vocabulary, and what a file is that is no GGUF file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from udfs.control_words import is_marker
from udfs.file_kinds import kind_of

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True)
class Vocabulary:
    """tokenizer.ggml.* of a file. Flags and ids are None where the file does not give them; all ids are valid.

    model: llama (SentencePiece) or gpt2 (byte-level). types: each token's type, one of the numbers above.
    """

    model: str
    pre: str | None
    tokens: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None
    pad_id: int | None
    add_bos: bool | None
    add_eos: bool | None
    add_space_prefix: bool | None

    def of_type(self, *types: int) -> dict[str, int]:
        """The tokens of these types, by their ids."""
        return {token: index for index, token in enumerate(self.tokens) if self.types[index] in types}


def open_gguf(file: Path) -> Any:
    """The gguf package's reader of a file that holds one whole language model; ValueError for any other file."""
    from gguf import GGUFReader  # an optional dependency

    _check_begins_as_gguf(file)
    try:
        reader = GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"it begins as a GGUF file, but cannot be read to its end ({file.stat().st_size:,} bytes): it is cut off "
            "or damaged; fetch it again."
        ) from error
    shards = field(reader, "split.count", 1)
    if shards > 1 or SHARD.search(file.stem):
        raise ValueError(
            "it is one of several shards of a model; merge them into one file with: llama-gguf-split --merge."
        )
    kind = field(reader, "general.type", "model")
    architecture = field(reader, "general.architecture", None)
    if kind != "model" or architecture in (None, "clip"):
        raise ValueError(
            f"it is no language model, but of type {ascii(kind)[:40]} and architecture {ascii(architecture)[:40]}; "
            "name the file that holds the model's own weights."
        )
    if not reader.tensors:
        raise ValueError("it holds no weights, only a vocabulary; name the file that holds the model's weights.")
    return reader


def field(reader: Any, key: str, default: Any) -> Any:
    """The value of key as a Python object; default where the file has no such key."""
    entry = reader.get_field(key)
    return default if entry is None else entry.contents()


def read_vocabulary(reader: Any) -> Vocabulary:
    """The file's vocabulary; ValueError where it lacks something, or contradicts itself."""
    model = field(reader, "tokenizer.ggml.model", None)
    tokens = field(reader, "tokenizer.ggml.tokens", None)
    if model not in ("llama", "gpt2"):
        raise ValueError(
            f"its vocabulary is of the kind {ascii(model)[:40]}; the kinds that are read exactly are llama "
            "(SentencePiece's BPE) and gpt2 (byte-level BPE)."
        )
    if field(reader, "tokenizer.ggml.remove_extra_whitespaces", False) or (
        reader.get_field("tokenizer.ggml.precompiled_charsmap") is not None
    ):
        raise ValueError("its vocabulary normalises texts, which is not read from GGUF.")
    if not isinstance(tokens, list) or not tokens:
        raise ValueError("it has no tokenizer.ggml.tokens; convert the model to GGUF with its vocabulary.")
    _check_distinct(tokens)
    types = _types(reader, len(tokens))
    types = [_type(model, token, kind) for token, kind in zip(tokens, types, strict=True)]
    ids = {name: _token_id(reader, name, len(tokens)) for name in ("bos", "eos", "unknown", "padding")}
    return Vocabulary(
        model=model,
        pre=field(reader, "tokenizer.ggml.pre", None),
        tokens=tokens,
        types=types,
        scores=_scores(reader, len(tokens)) if model == "llama" else [],
        merges=field(reader, "tokenizer.ggml.merges", None) or [],
        bos_id=ids["bos"],
        eos_id=ids["eos"],
        unk_id=ids["unknown"],
        pad_id=ids["padding"],
        add_bos=field(reader, "tokenizer.ggml.add_bos_token", None),
        add_eos=field(reader, "tokenizer.ggml.add_eos_token", None),
        add_space_prefix=field(reader, "tokenizer.ggml.add_space_prefix", None),
    )


def _type(model: str, token: str, kind: int) -> int:
    """The token's type, corrected: converters write USER_DEFINED for all tokens that a model added later.

    In a byte-level vocabulary, such a token is a control word if it looks like one (<think>). In a SentencePiece
    vocabulary, those who trained it declared these pieces to be text, except the markers of chats (<|im_start|>).
    """
    is_control = is_marker(token) if model == "gpt2" else token.startswith("<|") and token.endswith("|>")
    return CONTROL if kind == USER_DEFINED and is_control else kind


def _check_begins_as_gguf(file: Path) -> None:
    with file.open("rb") as stream:
        begin = stream.read(64)
    if begin.startswith(b"GGUF"):
        return
    if not begin:
        raise ValueError("it is empty; fetch it again.")
    if (kind := kind_of(begin)) is not None:
        raise ValueError(f"it is {kind}.")
    if begin.lstrip()[:1] in (b"<", b"{"):
        raise ValueError(
            "it is a web page or a server's answer, not a model; fetch it again, and look at what was fetched."
        )
    raise ValueError(f"it is no GGUF file: it begins with {begin[:8]!a}, not with GGUF.")


def _check_distinct(tokens: list[str]) -> None:
    seen: dict[str, int] = {}
    for index, token in enumerate(tokens):
        if not token:
            raise ValueError(f"token {index} of its vocabulary is empty; convert the model to GGUF again.")
        if seen.setdefault(token, index) != index:
            raise ValueError(
                f"its vocabulary has the token {ascii(token)[:60]} twice, as {seen[token]} and {index}; "
                "convert the model to GGUF again."
            )


def _token_id(reader: Any, name: str, num_tokens: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    value = field(reader, key, None)
    if value is not None and not 0 <= value < num_tokens:
        raise ValueError(f"{key} is {value}, but its vocabulary has {num_tokens} tokens; convert the model again.")
    return None if value is None else int(value)


def _types(reader: Any, num_tokens: int) -> list[int]:
    types = field(reader, "tokenizer.ggml.token_type", None)
    if not isinstance(types, list) or len(types) != num_tokens:
        have = "no" if types is None else f"{len(types)}"
        raise ValueError(
            f"it has {have} tokenizer.ggml.token_type for {num_tokens} tokens, so that control words cannot be "
            "distinguished from text; convert the model to GGUF again."
        )
    if unknown := set(types) - set(range(NORMAL, BYTE + 1)):
        raise ValueError(f"its tokenizer.ggml.token_type has {sorted(unknown)[0]}, which is no type of token (1 to 6).")
    return types


def _scores(reader: Any, num_tokens: int) -> list[float]:
    scores = field(reader, "tokenizer.ggml.scores", None)
    if not isinstance(scores, list) or len(scores) != num_tokens or not np.isfinite(scores).all():
        have = "no" if scores is None else f"{len(scores)}"
        raise ValueError(
            f"it has {have} tokenizer.ggml.scores for {num_tokens} tokens, or some that are no numbers, so that the "
            "order of merges is unknown; convert the model to GGUF again."
        )
    return [float(score) for score in scores]
