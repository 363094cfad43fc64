"""A GGUF file's vocabulary as tokenizer.json, written from the file's own metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from udfs.gguf_byte_level import byte_level_parts, pre_tokenizer
from udfs.gguf_file import CONTROL, UNKNOWN, Vocabulary
from udfs.gguf_sentencepiece import sentencepiece_parts
from udfs.tokenizer import TEXT_PIECES


def write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json into folder; ValueError for what cannot be written exactly."""
    parts = sentencepiece_parts(vocabulary) if vocabulary.model == "llama" else byte_level_parts(vocabulary)
    user_defined = parts.pop("user_defined")
    special = dict.fromkeys(vocabulary.of_type(CONTROL, UNKNOWN).values(), True) | dict.fromkeys(user_defined, False)
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            # SentencePiece finds user-defined pieces in the normalised text.
            _added(
                index,
                user_defined.get(index, vocabulary.tokens[index]),
                special=special[index],
                in_normalised_text=vocabulary.model == "llama",
            )
            for index in sorted(special)
        ],
        "post_processor": _start_and_end(vocabulary),
        **parts,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    roles = {"bos_token": bos_id(vocabulary), "eos_token": vocabulary.eos_id, "pad_token": vocabulary.pad_id}
    roles["unk_token"] = next(iter(vocabulary.of_type(UNKNOWN).values()), vocabulary.unk_id)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        # Those who trained the vocabulary declared these pieces to be text, even if they look like control words.
        TEXT_PIECES: sorted(user_defined.values()),
        **{role: vocabulary.tokens[index] for role, index in roles.items() if index is not None},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def start_and_end_ids(vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    """The ids of the tokens before and after each text; ValueError if the file wants a token that it does not name."""
    default = True if vocabulary.model == "llama" else pre_tokenizer(vocabulary).add_bos
    ids = []
    for name, wanted, index in (
        ("bos", default if vocabulary.add_bos is None else vocabulary.add_bos, bos_id(vocabulary)),
        ("eos", bool(vocabulary.add_eos), vocabulary.eos_id),
    ):
        if wanted and index is None:
            raise ValueError(
                f"its texts are to have a {name.upper()} token, but it names none with tokenizer.ggml.{name}_token_id; "
                "convert the model to GGUF again."
            )
        ids.append([index] if wanted and index is not None else [])
    return ids[0], ids[1]


def bos_id(vocabulary: Vocabulary) -> int | None:
    """The id of the BOS token: the file's own, or SentencePiece's default of 1 if that is a control word; else None."""
    if vocabulary.bos_id is not None or vocabulary.model != "llama":
        return vocabulary.bos_id
    return 1 if 1 in vocabulary.of_type(CONTROL).values() else None


def _added(index: int, content: str, special: bool, in_normalised_text: bool) -> dict[str, Any]:
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": in_normalised_text and not special,
        "special": special,
    }


def _start_and_end(vocabulary: Vocabulary) -> dict[str, Any] | None:
    start, end = start_and_end_ids(vocabulary)
    if not start and not end:
        return None
    sequences = [[{"Sequence": {"id": name, "type_id": 0}}] for name in ("A", "B")]
    before, after = (
        [{"SpecialToken": {"id": vocabulary.tokens[index], "type_id": 0}} for index in ids] for ids in (start, end)
    )
    return {
        "type": "TemplateProcessing",
        "single": before + sequences[0] + after,
        "pair": before + sequences[0] + after + before + sequences[1] + after,
        "special_tokens": {
            vocabulary.tokens[index]: {
                "id": vocabulary.tokens[index],
                "ids": [index],
                "tokens": [vocabulary.tokens[index]],
            }
            for index in start + end
        },
    }
