"""Control words in a text, such as <s> or <think>, read as the plain text that they are there.

A document that mentions a control word must not switch the model into another mode. Which added tokens of a
tokenizer.json are control words:

- those that tokenizer.json calls special, or that the model's tokenizer_config.json names as one (bos_token and so on);
- of the others, those with the shape of a marker: <...> or [...] without white space and with a letter inside, such as
  <think>, <|fim_prefix|> or [INST]. Training never had them in a document, whatever "special" says of them.

All others stay, for the model has read its texts with them: runs of white space (GPT-NeoX, Phi, Gemma), words that
somebody added, and HTML tags, which Gemma's vocabulary has as pieces of text.
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
# A vocabulary that has these has tags.
HTML_FAMILY = {"<table>", "<strong>", "<b>", "<em>", "<h1>", "<p>"}


@dataclass(frozen=True)
class ControlWords:
    """A tokenizer's control words with their ids, and its JSON: what is needed to read them as text.

    can_occur: whether the tokenizer, told to read special tokens as text, can still take one for what it says.
    """

    ids: dict[str, int]
    serialised: str
    can_occur: bool
    unknown: str | None
    numbers: frozenset[int]

    def occur_in(self, text: str, token_ids: list[int], special_tokens_mask: list[int]) -> bool:
        """Whether one of a text's tokens is a control word. The unknown token is one only where the text spells it."""
        numbers = self.numbers
        if self.unknown in self.ids and str(self.unknown) in text:
            numbers = numbers | {self.ids[str(self.unknown)]}
        if numbers.isdisjoint(token_ids):
            return False
        pairs = zip(token_ids, special_tokens_mask, strict=True)
        return any(token in numbers and not special for token, special in pairs)

    def without_them(self) -> Tokenizer:
        """The tokenizer whose vocabulary has, in place of each control word, a name that no text can hold.

        All ids stay, and so do the tokens that the post-processor adds. An entry that is only taken from the list of
        added tokens would not do: Unigram finds it in its vocabulary, WordPiece and BPE (ignore_merges) look up words
        whole, and the ids of the added tokens behind it would move.
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
    """The control words of a tokenizer; named are those that the model's other files call special, pieces are none."""
    serialised = tokenizer.to_str()
    content = json.loads(serialised)
    model, added = content["model"], content["added_tokens"]
    tags = {token["content"] for token in added} & HTML_FAMILY
    words = {
        token["content"]: token["special"] for token in added if _is_control_word(token, named, pieces, bool(tags))
    }
    # Those that only the settings name are in the vocabulary all the same.
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
    return ControlWords(ids, serialised, can_occur and bool(ids), unknown, numbers)


def _is_control_word(token: dict[str, Any], named: set[str], pieces: Collection[str], has_tags: bool) -> bool:
    word = token["content"]
    # A letter is one, whatever role a model gave it: some pad with "!".
    if BYTE_PIECE.fullmatch(word) or len(word) < 2:
        return False
    if token["special"] or word in named:
        return True
    return word not in pieces and is_marker(word, has_tags)


def is_marker(word: str, has_tags: bool = False) -> bool:
    """Whether an added token has the shape of a control word, whatever it is called.

    has_tags: whether the vocabulary has HTML tags; without others, <s> and </s> are the ends of a text.
    """
    is_tag = HTML_TAG.fullmatch(word) and (has_tags or word.strip("</>") != "s")
    return bool(MARKER.fullmatch(word)) and not is_tag and not BYTE_PIECE.fullmatch(word)


def _reaches(merge: list[str], model: dict[str, Any], words: dict[str, Any]) -> bool:
    """Whether a BPE merge makes a control word, or goes on from one."""
    left, right = merge
    prefix = model.get("continuing_subword_prefix") or ""
    return left in words or right in words or left + right.removeprefix(prefix) in words


def _unknown(model: dict[str, Any]) -> str | None:
    if model["type"] == "Unigram":
        number = model.get("unk_id")
        return None if number is None else str(model["vocab"][number][0])
    unknown: str | None = model.get("unk_token")
    return unknown
