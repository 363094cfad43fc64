"""Whether a model's texts start with its BOS token: the one thing that tokenizer.json does not decide alone.

The post-processor of tokenizer.json says which tokens stand before a text. But transformers 4, under which most models
were trained and published, replaced it in its Llama-class tokenizers by what add_bos_token says in
tokenizer_config.json, and many models rely on that: DeepSeek's say true while their post-processor adds nothing.
transformers 5 passes over the setting where there is a tokenizer.json, which reads such a model's texts without the
BOS that it was trained with. So an explicit true or false is followed, and without one, the post-processor alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer

from udfs.loading import unloadable

# A vocabulary may lack the first.
SAMPLES = ("a", "A", "0", ".", "的", "ا", "а", "अ", "\n")
ADDS_TOKENS = {"TemplateProcessing", "BertProcessing", "RobertaProcessing"}
EMPTY = json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}})


def with_start_token(name: str, tokenizer: Tokenizer, wanted: Any, bos: str | None) -> None:
    """Make the tokenizer put BOS before a text where wanted is True, and not where it is False; None leaves it.

    Raises ValueError where a BOS is wanted, and bos is no token of the tokenizer.
    """
    if not isinstance(wanted, bool):
        return
    number = None if bos is None else tokenizer.token_to_id(bos)
    truncation, padding = tokenizer.truncation, tokenizer.padding
    tokenizer.no_truncation()
    tokenizer.no_padding()
    start = start_of(tokenizer.encode)
    if truncation:
        tokenizer.enable_truncation(**truncation)
    if padding:
        tokenizer.enable_padding(**padding)
    if wanted and number is None and not start:
        raise unloadable(
            name,
            f"its tokenizer_config.json says add_bos_token, but its bos_token {bos!r} is no token of its "
            "tokenizer.json; set bos_token there, or add_bos_token to false.",
        )
    if number is None and not wanted and len(start) == 1:
        # Its settings do not name the token that they do not want.
        number = start[0]
    if number is None or wanted == (number in start):
        return
    content = json.loads(tokenizer.to_str())
    steps = content["post_processor"].get("processors", [content["post_processor"]])
    if wanted:
        steps = [step for step in steps if step["type"] not in ADDS_TOKENS] + [_before_a_text(str(bos), number)]
    else:
        steps = [_without(step, number) for step in steps]
    processor = {"type": "Sequence", "processors": steps} if len(steps) > 1 else steps[0]
    tokenizer.post_processor = _processor(processor)


def start_of(encode: Callable[..., Any]) -> list[int]:
    """The special tokens that encode, a tokenizer's, puts before a text, such as a BOS; often none.

    Raises ValueError where it changes the text's own tokens when it adds special ones, or knows no letter at all.
    """
    for text in SAMPLES:
        plain, full = encode(text, add_special_tokens=False).ids, encode(text)
        mask = full.special_tokens_mask
        if plain and [token for token, special in zip(full.ids, mask, strict=True) if not special] != plain:
            raise ValueError("the tokenizer changes the text's own tokens when it adds special ones; it cannot be used")
        if plain:
            return list(full.ids[: mask.index(0)])
    raise ValueError("the tokenizer has no token for any of the usual letters, digits or signs; it cannot be used")


def _before_a_text(bos: str, number: int) -> dict[str, Any]:
    start, text = {"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [start, text],
        "pair": [start, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
    }


def _without(step: dict[str, Any], number: int) -> dict[str, Any]:
    """The step of a post-processor, without the token of this number."""
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
