"""The prefix tokens that a tokenizer puts before each text, such as BOS: tokenizer.json alone does not decide them.

The post-processor of tokenizer.json says which tokens stand before a text. But transformers 4, with which most models
were trained and published, let add_bos_token in tokenizer_config.json override it for Llama-class tokenizers. Many
models rely on that: DeepSeek's say true, although their post-processor adds nothing. transformers 5 ignores the setting
where there is a tokenizer.json, and so reads such a model's texts without the BOS that it was trained with. Here an
explicit true or false is followed; without one, the post-processor decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer

from udfs.loading import unloadable

# Several, because a vocabulary may lack some of them.
SAMPLES = ("a", "A", "0", ".", "的", "ا", "а", "अ", "\n")
ADDS_TOKENS = {"TemplateProcessing", "BertProcessing", "RobertaProcessing"}
EMPTY = json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}})


def with_bos_token(name: str, tokenizer: Tokenizer, wanted: Any, bos: str | None) -> None:
    """Make the tokenizer put BOS before each text where wanted is True, or not where it is False, in place.

    Any other value of wanted, such as None, changes nothing. Raises ValueError where a BOS is wanted, but bos is no
    token of the tokenizer.
    """
    if not isinstance(wanted, bool):
        return
    number = None if bos is None else tokenizer.token_to_id(bos)
    truncation, padding = tokenizer.truncation, tokenizer.padding
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prefix = prefix_of(tokenizer.encode)
    if truncation:
        tokenizer.enable_truncation(**truncation)
    if padding:
        tokenizer.enable_padding(**padding)
    if wanted and number is None and not prefix:
        raise unloadable(
            name,
            f"its tokenizer_config.json says add_bos_token, but its bos_token {bos!r} is no token of its "
            "tokenizer.json; set bos_token there, or add_bos_token to false.",
        )
    if number is None and not wanted and len(prefix) == 1:
        # The settings do not name the BOS token that they do not want.
        number = prefix[0]
    if number is None or wanted == (number in prefix):
        return
    content = json.loads(tokenizer.to_str())
    steps = content["post_processor"].get("processors", [content["post_processor"]])
    if wanted:
        steps = [step for step in steps if step["type"] not in ADDS_TOKENS] + [_bos_before_text(str(bos), number)]
    else:
        steps = [_without(step, number) for step in steps]
    processor = {"type": "Sequence", "processors": steps} if len(steps) > 1 else steps[0]
    tokenizer.post_processor = _processor(processor)


def prefix_tokens(tokenizer: Any) -> list[int]:
    """The ids of the special tokens that the tokenizer puts before a text, such as BOS; often none."""
    return prefix_of(lambda text, **options: tokenizer(text, verbose=False, **options).encodings[0])


def prefix_of(encode: Callable[..., Any]) -> list[int]:
    """The ids of the special tokens that a tokenizer's encode method puts before a text.

    Raises ValueError where the text's own tokens change when special ones are added, or where no sample has a token.
    """
    for text in SAMPLES:
        plain, full = encode(text, add_special_tokens=False).ids, encode(text)
        mask = full.special_tokens_mask
        if plain and [token for token, special in zip(full.ids, mask, strict=True) if not special] != plain:
            raise ValueError("the tokenizer changes the text's own tokens when it adds special ones; it cannot be used")
        if plain:
            return list(full.ids[: mask.index(0)])
    raise ValueError("the tokenizer has no token for any of the usual letters, digits or signs; it cannot be used")


def _bos_before_text(bos: str, number: int) -> dict[str, Any]:
    start, text = {"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [start, text],
        "pair": [start, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
    }


def _without(step: dict[str, Any], number: int) -> dict[str, Any]:
    """The post-processor's step without the token of this id."""
    if step["type"] == "TemplateProcessing":
        gone = {word for word, token in step["special_tokens"].items() if token["ids"] == [number]}
        kept = {
            key: [piece for piece in step[key] if piece.get("SpecialToken", {}).get("id") not in gone]
            for key in ("single", "pair")
        }
        return {**step, **kept}
    if step["type"] in ADDS_TOKENS and step["cls"][1] == number:
        trim = step.get("trim_offsets", False)
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": trim, "use_regex": True}
    return step


def _processor(content: dict[str, Any]) -> Any:
    return Tokenizer.from_str(json.dumps({**json.loads(EMPTY), "post_processor": content})).post_processor
