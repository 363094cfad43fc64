"""Small tokenizers, one of each kind that models have, and texts at which kinds differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from udfs.tokenizer import read_tokenizer

LINES = [
    "The retrieval heads of a language model copy earlier text forward, word for word.",
    "  def mean(values):\n\treturn sum(values) / len(values)\n\n",
    "Let x be 3.1415 <= 4; then x * x >= 0 and <|a|> [b] </c> is no tag, is it? | _ { } & # @",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789 < > [ ] | / _ thinking toolcall",
]
TEXTS = {
    "plain": "The heads copy text forward.",
    "leading spaces": "   and then  two   three",
    "trailing space": "word for word ",
    "lines": "a\nb\r\nc\rd\n\n\n  e",
    "tab": "\treturn\tx",
    "accents": "Ça été déjà vu, naïve Zoë, Ångström",
    "combining": "e\u0301 a\u030a n\u0303 \u0301",
    "code": "def f(x: list[int]) -> str:\n    return x[0] <= 3 and '<br>' or \"\\n\"",
    "emoji": "family 👩‍👩‍👧‍👦 flag 🏳️‍🌈 end",
    "chinese": "语言模型的检索头，复制前文。",
    "japanese": "モデルは文を写す。",
    "arabic": "النموذج يقرأ النص ١٢٣",
    "nul": "a\0b\x07c",
    "digits": "3.14159 1234567890 0x1F 1e-9 ²",
    "ligature": "ﬁne ＡＢＣ ① ½",
    "odd spaces": "a\u00a0b\u2003c\u200bd\ufeffe",
    "lower one": "▁ and ▁▁ are underscores",
}
SPECIAL = ["<unk>", "<s>", "</s>"]


def byte_level() -> Tokenizer:
    """As GPT-2, Llama 3, Qwen, DeepSeek."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def ignoring_merges() -> Tokenizer:
    """As Llama 3: a word that the vocabulary has is looked up whole. The words are split at white space."""
    content = json.loads(byte_level().to_str())
    content["model"]["ignore_merges"] = True
    content["pre_tokenizer"]["use_regex"] = False
    return Tokenizer.from_str(json.dumps(content))


def byte_fallback() -> Tokenizer:
    """As Llama 2 and Gemma: SentencePiece's BPE, whose unknown characters are bytes; "<s>" can be merged."""
    letters = [
        *SPECIAL,
        *(f"<0x{number:02X}>" for number in range(256)),
        "▁",
        *sorted(set("".join(LINES)) - set(" \n\t")),
    ]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("s", ">"), ("<", "s>"), ("<s>", "▁"), ("e", "r")]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*letters, *map("".join, merges)]))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def unigram() -> Tokenizer:
    """As T5 and XGLM: the likeliest pieces, of which "<s>" is one."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    """As BERT, but split at white space only, so that "[CLS]" is a word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]", *SPECIAL[1:]]
    letters = sorted(set("".join(LINES)) - set(" \n\t"))
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(["".join(letters), *LINES], trainer)
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte_level": byte_level,
    "ignoring_merges": ignoring_merges,
    "byte_fallback": byte_fallback,
    "unigram": unigram,
    "word_piece": word_piece,
}


def added(*words: str) -> list[AddedToken]:
    """Tokens as people add them to a tokenizer: not special."""
    return [AddedToken(word, normalized=False, special=False) for word in words]


def save(tokenizer: Tokenizer, folder: Path, **settings: Any) -> str:
    """The folder, with the tokenizer's tokenizer.json and, where there are settings, tokenizer_config.json."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(folder)


def read(folder: str) -> Any:
    """The tokenizer of the folder, as a model's own is read."""
    return read_tokenizer("tiny", folder, None)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of the text without special tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def as_the_file_says(folder: str, *, special_as_text: bool = True) -> Tokenizer:
    """The folder's tokenizer.json as the tokenizers library reads it: what read() is compared with."""
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = special_as_text
    return tokenizer
