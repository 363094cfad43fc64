"""Control words in a text, such as <s> or <think>, read as plain text.

A document that mentions a control word must not switch the model into another mode. These added tokens of a
tokenizer.json are control words:

- tokens that tokenizer.json calls special, or that tokenizer_config.json names as special (bos_token and so on);
- other tokens with the shape of a marker: <...> or [...] without white space and with a letter inside, such as <think>,
  <|fim_prefix|> or [INST]. They stood in no document in training, whether or not they are called special.

All other added tokens stay tokens, because the model was trained on texts with them: runs of white space (GPT-NeoX,
Phi, Gemma), words that somebody added, and HTML tags, which are pieces of text in Gemma's vocabulary.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

MARKER = re.compile(r"[▁Ġ]?(<\S*[^\W\d_]\S*>|\[\S*[^\W\d_]\S*\]|◁\S+▷)")
BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
HTML_TAG = re.compile(
    r"</?(a|b|blockquote|br|caption|code|del|div|dd|dl|dt|em|figcaption|figure|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|pre|"
    r"q|s|samp|small|span|strong|sub|sup|table|tbody|td|tfoot|th|thead|tr|u|ul)/?>"
)
# A vocabulary that has any of these has HTML tags.
HTML_FAMILY = {"<table>", "<strong>", "<b>", "<em>", "<h1>", "<p>"}


@dataclass(frozen=True)
class ControlWords:
    """A tokenizer's control words and its JSON, which together suffice to read them as text.

    ids: each word's token id. serialised: the tokenizer's JSON. can_occur: whether a text can still have the token of a
    control word when the tokenizer is told to read special tokens as text. unknown: the unknown token. numbers: the ids
    of the words except the unknown token.
    """

    ids: dict[str, int]
    serialised: str
    can_occur: bool
    unknown: str | None
    numbers: frozenset[int]

    def occur_in(self, text: str, token_ids: list[int], special_tokens_mask: list[int]) -> bool:
        """Whether one of a text's tokens is a control word; the unknown token counts only where the text spells it."""
        numbers = self.numbers
        if self.unknown in self.ids and str(self.unknown) in text:
            numbers = numbers | {self.ids[str(self.unknown)]}
        if numbers.isdisjoint(token_ids):
            return False
        pairs = zip(token_ids, special_tokens_mask, strict=True)
        return any(token in numbers and not special for token, special in pairs)

    def without_them(self) -> Tokenizer:
        """The tokenizer with a random name, which no text holds, in place of each control word.

        All ids stay the same, and so do the tokens that the post-processor adds. It would not be enough to remove the
        words from the list of added tokens: Unigram finds them in its vocabulary, WordPiece and BPE (with
        ignore_merges) look up whole words, and the ids of later added tokens would change.
        """
        names = {word: secrets.token_hex(24) for word in self.ids}
        tokenizer = json.loads(self.serialised)
        for token in tokenizer["added_tokens"]:
            if token["content"] in names:
                settings = {"normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
                token |= {"content": names[token["content"]], "special": True, **settings}
        model = tokenizer["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {names.get(word, word): number for word, number in model["vocab"].items()}
        else:
            model["vocab"] = [[names.get(word, word), score] for word, score in model["vocab"]]
        if model.get("unk_token") is not None:
            model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
        if model.get("merges"):
            model["merges"] = [merge for merge in model["merges"] if not _reaches(merge, model, self.ids)]
        renamed = Tokenizer.from_str(json.dumps(tokenizer))
        moved = [word for word, number in self.ids.items() if renamed.token_to_id(names[word]) != number]
        assert not moved, moved
        return renamed


def find_control_words(tokenizer: Tokenizer, named: set[str], pieces: Collection[str] = ()) -> ControlWords:
    """The control words of a tokenizer.

    named: words that the model's other files call special. pieces: words that are no control words.
    """
    serialised = tokenizer.to_str()
    content = json.loads(serialised)
    model, added = content["model"], content["added_tokens"]
    tags = {token["content"] for token in added} & HTML_FAMILY
    words = {
        token["content"]: token["special"]
        for token in added
        if _is_control_word(token, named, pieces=pieces, has_tags=bool(tags))
    }
    # Words that only the settings name are in the vocabulary too, although not among the added tokens.
    words |= {word: True for word in named - set(words) if len(word) > 1 and tokenizer.token_to_id(word) is not None}
    can_occur = (
        model["type"] != "BPE"
        or bool(model.get("ignore_merges"))
        or not all(words.values())
        or any(_reaches(merge, model, words) for merge in model["merges"])
    )
    ids = {word: number for word in words if (number := tokenizer.token_to_id(word)) is not None}
    unknown = _unknown(model)
    numbers = frozenset(number for word, number in ids.items() if word != unknown)
    return ControlWords(ids, serialised, can_occur=can_occur and bool(ids), unknown=unknown, numbers=numbers)


def _is_control_word(token: dict[str, Any], named: set[str], pieces: Collection[str], has_tags: bool) -> bool:
    word = token["content"]
    # A single character is always text, whatever role a model gave it: some models pad with "!".
    if BYTE_PIECE.fullmatch(word) or len(word) < 2:
        return False
    if token["special"] or word in named:
        return True
    return word not in pieces and is_marker(word, has_tags)


def is_marker(word: str, has_tags: bool = False) -> bool:
    """Whether an added token has the shape of a control word.

    has_tags: whether the vocabulary has HTML tags. Without other tags, <s> and </s> mark the ends of a text.
    """
    is_tag = HTML_TAG.fullmatch(word) and (has_tags or word.strip("</>") != "s")
    return bool(MARKER.fullmatch(word)) and not is_tag and not BYTE_PIECE.fullmatch(word)


def _reaches(merge: list[str], model: dict[str, Any], words: dict[str, Any]) -> bool:
    """Whether a BPE merge makes a control word, or joins one with something."""
    left, right = merge
    prefix = model.get("continuing_subword_prefix") or ""
    return left in words or right in words or left + right.removeprefix(prefix) in words


def _unknown(model: dict[str, Any]) -> str | None:
    if model["type"] == "Unigram":
        number = model.get("unk_id")
        return None if number is None else str(model["vocab"][number][0])
    unknown: str | None = model.get("unk_token")
    return unknown
