"""A model's own tokenizer, exactly as its tokenizer.json says.

transformers rebuilds many tokenizers by the name of their class, and takes only the vocabulary from tokenizer.json.
What a Llama-class tokenizer does not have, such as byte-level pieces, is then lost, and another text is scored. Here
the tokenizers library reads the file, and only truncation and padding are changed: they are off.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from typing import Any

from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from udfs.control_words import ControlWords, find_control_words
from udfs.loading import unloadable
from udfs.model_files import check_is_itself, find_file
from udfs.prefix_tokens import with_bos_token

# A key that our GGUF conversion writes to tokenizer_config.json: added tokens that are text whatever they look like.
TEXT_PIECES = "attention_influence_text_pieces"
# It has what wrong conversions lose: capitals, repeated spaces, line ends.
ROUND_TRIP = "The  Cat sat.\n\n    return x1 == 'A'\n"
_warned: set[str] = set()


class TextTokenizer(PreTrainedTokenizerFast):  # type: ignore[misc]
    """A tokenizer that reads its input as text only: control words in it are spelled like any other word.

    A text without control words has the ids that tokenizer.json gives it. Only for a text with one, a second tokenizer
    without control words is used.
    """

    def __init__(self, tokenizer: Tokenizer, words: ControlWords) -> None:
        # Called without special tokens or a path, because with either transformers changes the tokenizer.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        super().__init__(tokenizer_object=tokenizer, split_special_tokens=True)
        self.words = words
        self.fingerprint = _fingerprint(self.backend_tokenizer, words)
        self._without_control_words: Any = None

    def __call__(self, text: Any, *arguments: Any, **options: Any) -> Any:
        """As in transformers: input_ids, and with return_offsets_mapping also each token's characters."""
        encoded = super().__call__(text, *arguments, **options)
        if not self.words.can_occur:
            return encoded
        texts = [text] if isinstance(text, str) else text
        for one, encoding in zip(texts, encoded.encodings, strict=False):
            if self.words.occur_in(one, encoding.ids, encoding.special_tokens_mask):
                return self._spelling()(text, *arguments, **options)
        return encoded

    def _spelling(self) -> Any:
        """The tokenizer without control words, built only when a text needs it: it takes as much memory again."""
        if self._without_control_words is None:
            tokenizer = self.words.without_them()
            tokenizer.no_truncation()
            tokenizer.no_padding()
            self._without_control_words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, split_special_tokens=True)
        return self._without_control_words


def read_tokenizer(name: str, path: str, revision: str | None) -> TextTokenizer:
    """The tokenizer of the model at path (a folder, or a hub id at a revision).

    Raises ValueError where there is no tokenizer.json, or where it or tokenizer_config.json cannot be read.
    """
    file = find_file(name, path, revision=revision, file="tokenizer.json")
    settings = _settings(name, path, revision=revision, file="tokenizer_config.json")
    if file is None:
        own = " (its tokenizer is code of its own)" if settings.get("auto_map") else ""
        raise ValueError(f"model {name!r} has no fast tokenizer (tokenizer.json){own}; convert its tokenizer first")
    check_is_itself(name, file)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        # What is written in Rust raises bare Exceptions.
        raise unloadable(
            name,
            f"its tokenizer.json is broken or cut off ({_first_line(error)}), or needs newer tokenizers; "
            "download it again.",
        ) from error
    if getattr(tokenizer.model, "dropout", None):
        # Dropout is for training: the same text would have other tokens each time.
        tokenizer.model.dropout = None
    if tokenizer.post_processor is None:
        # transformers would set this too; it is set here because the fingerprint includes it.
        tokenizer.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    named = _special_tokens(settings, _settings(name, path, revision=revision, file="special_tokens_map.json"))
    pieces = set(settings.get(TEXT_PIECES) or ())
    with_bos_token(name, tokenizer, wanted=settings.get("add_bos_token"), bos=named.get("bos_token"))
    result = TextTokenizer(tokenizer, find_control_words(tokenizer, set(named.values()), pieces))
    result.name_or_path = path
    return result


def warn_of_unspellable(name: str, tokenizer: TextTokenizer) -> None:
    """Warn, once per process, of control words that the vocabulary cannot spell: a text with one loses letters."""
    if tokenizer.fingerprint in _warned:
        return
    _warned.add(tokenizer.fingerprint)
    words = [word for word in tokenizer.words.ids if not _is_spelled(tokenizer, word)]
    if words:
        some = ", ".join(ascii(word)[:40] for word in words[:3])
        warnings.warn(
            f"the vocabulary of {name!r} cannot spell {len(words)} of its control words as plain text, such as {some}; "
            "a document that has one is scored without some of its letters",
            stacklevel=2,
        )


def warn_of_lost_text(name: str, tokenizer: TextTokenizer) -> None:
    """Warn where decoding a text's tokens does not give the text back: spaces, line ends or capitals are lost.

    Some models were trained like this. For others it means a wrong conversion, which the losses alone do not show.
    """
    token_ids = tokenizer(ROUND_TRIP, add_special_tokens=False, verbose=False)["input_ids"]
    back = tokenizer.backend_tokenizer.decode(token_ids, skip_special_tokens=False)
    if back.strip() != ROUND_TRIP.strip():
        warnings.warn(
            f"the tokenizer of {name!r} does not give plain text back: {ascii(ROUND_TRIP)[:60]} comes back as "
            f"{ascii(back)[:60]}; unless the model was trained so, it was converted wrongly",
            stacklevel=2,
        )


def _is_spelled(tokenizer: TextTokenizer, word: str) -> bool:
    """Whether the word, read as text, has tokens for all of its characters."""
    encoded = tokenizer(word, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    covered = {index for begin, end in encoded["offset_mapping"] for index in range(begin, end)}
    unknown = tokenizer.words.unknown
    lost = [char for index, char in enumerate(word) if index not in covered and not char.isspace()]
    return not lost and (
        unknown is None or tokenizer.backend_tokenizer.token_to_id(unknown) not in encoded["input_ids"]
    )


def _fingerprint(tokenizer: Tokenizer, words: ControlWords) -> str:
    """SHA-256, in hex, that changes whenever the ids of a text, or its prefix tokens, may change."""
    digest = hashlib.sha256(tokenizer.to_str().encode())
    if words.can_occur:
        digest.update(("control words are text: " + json.dumps(sorted(words.ids))).encode())
    return digest.hexdigest()


def _settings(name: str, path: str, revision: str | None, file: str) -> dict[str, Any]:
    """The content of a JSON file beside tokenizer.json; empty where there is no such file."""
    settings_file = find_file(name, path, revision=revision, file=file)
    if settings_file is None:
        return {}
    check_is_itself(name, settings_file)
    try:
        settings = json.loads(settings_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise unloadable(name, f"its {file} is no JSON ({_first_line(error)}); download it again.") from error
    if not isinstance(settings, dict):
        raise unloadable(name, f"its {file} holds no JSON object; download it again.")
    return settings


def _special_tokens(settings: dict[str, Any], older: dict[str, Any]) -> dict[str, str]:
    """The tokens that the model's settings call special, by role, or by number for those without a role."""
    tokens: dict[str, Any] = {}
    for source in (older, settings):
        tokens |= {role: token for role, token in source.items() if role.endswith("_token")}
        for role in ("additional_special_tokens", "extra_special_tokens"):
            more = source.get(role) or []
            tokens |= {f"{role} {n}": t for n, t in enumerate(more.values() if isinstance(more, dict) else more)}
    decoder = settings.get("added_tokens_decoder")
    decoder = decoder if isinstance(decoder, dict) else {}
    tokens |= {f"added {n}": t for n, t in decoder.items() if isinstance(t, dict) and t.get("special")}
    contents = {role: t.get("content") if isinstance(t, dict) else t for role, t in tokens.items()}
    return {role: content for role, content in contents.items() if isinstance(content, str) and content}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
