"""A model's own tokenizer, as its tokenizer.json says."""

from __future__ import annotations

from typing import Any

from transformers import AutoTokenizer

from udfs.loading import as_value_error, quiet_transformers


def read_tokenizer(name: str, path: str, revision: str | None, *, trust_remote_code: bool) -> Any:
    """The fast tokenizer at path, which reads control words such as <|im_end|> in a text as plain text."""
    with quiet_transformers(), as_value_error(name):
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
    if not tokenizer.is_fast:
        raise ValueError(f"model {name!r} has no fast tokenizer (tokenizer.json); convert its tokenizer first")
    # A document that mentions a control word must not switch the model into another mode.
    tokenizer.split_special_tokens = True
    return tokenizer
