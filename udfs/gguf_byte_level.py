"""A byte-level BPE vocabulary as the parts of tokenizer.json, with the pre-tokenizer that the file names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from udfs.gguf_file import USER_DEFINED, Vocabulary

# Files from before tokenizer.ggml.pre have a vocabulary like GPT-2's (50,257 tokens and some of their own), or a larger
# one (Llama 3, Qwen), which splits texts in other ways.
GPT_2_TOKENS = 65_536
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_3 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}"
QWEN_2 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}"
QWEN_35 = (
    rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REST_WITH_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _cased_words(ending: str, digits: str) -> str:
    begin = r"[^\r\n\p{L}\p{N}]?"
    return f"{begin}{UPPER}*{LOWER}+{ending}|{begin}{UPPER}+{LOWER}*{ending}|{digits}|{REST_WITH_SLASH}"


TEKKEN = _cased_words("", r"\p{N}")
GPT_4O = _cased_words(f"{CONTRACTIONS}?", r"\p{N}{1,3}")
CJK_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
DEEPSEEK_3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_CODER_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"


def _bytes(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split(*patterns: str) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    )


def _digits(*, individual: bool) -> dict[str, Any]:
    return {"type": "Digits", "individual_digits": individual}


@dataclass(frozen=True)
class Pre:
    """The meaning of a name in tokenizer.ggml.pre, taken from the tokenizer.json of the model with that name."""

    steps: tuple[dict[str, Any], ...]
    nfc: bool = False
    ignore_merges: bool = False
    add_bos: bool = False


GPT_2 = Pre((_bytes(use_regex=True),))
SINGLE_DIGITS = Pre((_digits(individual=True), _bytes(use_regex=True)))
LLAMA_BPE = Pre((*_split(LLAMA_3), _bytes(use_regex=False)), ignore_merges=True, add_bos=True)
QWEN = Pre((*_split(QWEN_2), _bytes(use_regex=False)), nfc=True)
OMNI = Pre((*_split(GPT_4O), _bytes(use_regex=False)))
PRES = {
    "gpt-2": GPT_2,
    "phi-2": GPT_2,
    "olmo": Pre(GPT_2.steps, nfc=True),
    "smollm": SINGLE_DIGITS,
    "starcoder": SINGLE_DIGITS,
    "refact": SINGLE_DIGITS,
    "command-r": Pre(SINGLE_DIGITS.steps, nfc=True),
    "llama-bpe": LLAMA_BPE,
    "llama3": LLAMA_BPE,
    "llama-v3": LLAMA_BPE,
    "qwen2": QWEN,
    "deepseek-r1-qwen": QWEN,
    "qwen35": Pre((*_split(QWEN_35), _bytes(use_regex=False)), nfc=True),
    "deepseek-v3": Pre((*_split(r"\p{N}{1,3}", CJK_AND_KANA, DEEPSEEK_3), _bytes(use_regex=False))),
    "deepseek-coder": Pre(
        (
            *_split(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CODER_CJK),
            _digits(individual=True),
            _bytes(use_regex=False),
        )
    ),
    "falcon": Pre(
        (
            {"type": "Punctuation", "behavior": "Contiguous"},
            _bytes(use_regex=True),
            _digits(individual=False),
            *_split("[0-9][0-9][0-9]"),
        )
    ),
    "tekken": Pre((*_split(TEKKEN), _bytes(use_regex=False)), ignore_merges=True, add_bos=True),
    "gpt-4o": OMNI,
    "llama4": OMNI,
}


def pre_tokenizer(vocabulary: Vocabulary) -> Pre:
    """How the vocabulary splits texts into words, and whether BOS comes first; ValueError for an unknown name."""
    if vocabulary.pre is None:
        if len(vocabulary.tokens) > GPT_2_TOKENS:
            raise ValueError(
                f"it has no tokenizer.ggml.pre, and its {len(vocabulary.tokens):,} tokens are too many to be split "
                "into words as GPT-2 does; convert the model to GGUF again with a newer converter."
            )
        return GPT_2
    if vocabulary.pre not in PRES:
        raise ValueError(
            f"its tokenizer.ggml.pre is {ascii(vocabulary.pre)[:60]}, whose way to split texts into words is not known "
            f"here; those that are: {', '.join(PRES)}."
        )
    return PRES[vocabulary.pre]


def byte_level_parts(vocabulary: Vocabulary) -> dict[str, Any]:
    """normalizer, pre_tokenizer, model and decoder of tokenizer.json, and the user-defined tokens' names in it."""
    pre = pre_tokenizer(vocabulary)
    return {
        "normalizer": {"type": "NFC"} if pre.nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(pre.steps)} if len(pre.steps) > 1 else pre.steps[0],
        "model": {
            "type": "BPE",
            # Bytes without a token are left out, as in llama.cpp and in the tokenizers that such files are made from.
            "unk_token": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre.ignore_merges,
            "vocab": {token: index for index, token in enumerate(vocabulary.tokens)},
            "merges": [list(pair) for pair in merge_pairs(vocabulary)],
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "user_defined": {index: token for token, index in vocabulary.of_type(USER_DEFINED).items()},
    }


def byte_symbols() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def merge_pairs(vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """The merges, best first; ValueError where one is no pair of tokens, or does not make a token."""
    known = set(vocabulary.tokens)
    if lacking := [byte for byte in b" \n" if byte_symbols()[byte] not in known]:
        raise ValueError(f"its vocabulary has no token for the byte 0x{lacking[0]:02X}, so that it is not byte-level.")
    if not vocabulary.merges:
        raise ValueError("it has no tokenizer.ggml.merges; convert the model to GGUF with its vocabulary.")
    pairs = []
    for rank, merge in enumerate(vocabulary.merges):
        left, _, right = merge.partition(" ")
        if not {left, right, left + right} <= known or not left or not right:
            raise ValueError(
                f"its merge {rank}, {ascii(merge)[:60]}, does not make a token of two tokens; convert the model again."
            )
        pairs.append((left, right))
    if len(set(pairs)) < len(pairs):
        raise ValueError("its tokenizer.ggml.merges name a pair twice; convert the model to GGUF again.")
    return pairs
