"""Texts through a GGUF file's byte-level vocabulary: cut into words as tokenizer.ggml.pre says, then merged."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import regex
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tests.udfs.gguf_files import AWKWARD, byte_level_metadata, tiny_llama, write_gguf
from udfs.checkpoint import load_tokenizer, resolve_checkpoint
from udfs.gguf_byte_level import PRES, pre_tokenizer
from udfs.known_checkpoints import Checkpoint
from udfs.prefix_tokens import prefix_tokens

TEXTS = [
    *AWKWARD,
    "a  1\n  2 12345 3,141.59",
    "It's they're we'LL 'tis",
    "caf\u00e9 cafe\u0301",
    "x\u00b2 \u0663\u0664\u0665 \u00bd7",
    "HTTPServer fooBar path/to/x//\n\n",
    "\u4e2d\u6587 \u3072\u3089 \ud55c\uad6d text",
]
# Every match is a word, and what stands between two is one: src/llama-vocab.cpp of ggml-org/llama.cpp.
GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD_FIRST = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
CUTS = {
    None: [GPT_2],
    "gpt-2": [GPT_2],
    "smollm": [r"\p{N}", GPT_2],
    "starcoder": [r"\p{N}", GPT_2],
    "refact": [r"\p{N}", GPT_2],
    "command-r": [r"\p{N}", GPT_2],
    "olmo": [GPT_2],
    "llama-bpe": [rf"{WORD_FIRST}|\p{{N}}{{1,3}}|{TAIL}"],
    "qwen2": [rf"{WORD_FIRST}|\p{{N}}|{TAIL}"],
    "deepseek-r1-qwen": [rf"{WORD_FIRST}|\p{{N}}|{TAIL}"],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}"],
}
NFC = {"command-r", "olmo", "qwen2", "deepseek-r1-qwen"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))


def resolved(folder: Path, metadata: dict[str, Any], **more: Any) -> Checkpoint:
    model = tiny_llama(len(metadata["tokenizer.ggml.tokens"]))
    return resolve_checkpoint(str(write_gguf(folder / "m.gguf", model, metadata, **more)))


def cut(text: str, patterns: list[str]) -> list[str]:
    words = [text]
    for pattern in patterns:
        words = [part for word in words for part in regex.split(f"({pattern})", word) if part]
    return words


@pytest.mark.parametrize("pre", list(CUTS), ids=str)
def test_texts_are_cut_as_the_name_of_the_pre_tokenizer_says(pre: str | None, tmp_path: Path) -> None:
    metadata, vocabulary, merges = byte_level_metadata(pre)
    tokenizer = load_tokenizer(resolved(tmp_path, metadata, **{"tokenizer.ggml.add_bos_token": False}))
    plain = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe"))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in TEXTS:
        words = cut(unicodedata.normalize("NFC", text) if pre in NFC else text, CUTS[pre])
        assert tokenizer(text)["input_ids"] == [i for word in words for i in plain.encode(word).ids], text


def test_smollms_digits_stand_alone_and_spaces_before_them_stay_together(smollm2_tokenizer: Any) -> None:
    assert smollm2_tokenizer.convert_ids_to_tokens(smollm2_tokenizer("a   12")["input_ids"]) == ["a", "ĠĠĠ", "1", "2"]


def test_smollms_ids_are_those_of_its_own_pre_tokenizer(smollm2_path: str, smollm2_tokenizer: Any) -> None:
    from gguf import GGUFReader

    reader = GGUFReader(smollm2_path)
    tokens, merges = (reader.get_field(f"tokenizer.ggml.{name}").contents() for name in ("tokens", "merges"))
    plain = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    plain.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    for text in TEXTS:
        assert smollm2_tokenizer(text)["input_ids"] == plain.encode(text).ids, text


@pytest.mark.parametrize("name", ["gpt-4o", "tekken", "deepseek-v3", "falcon", "qwen35", "llama4", "phi-2"])
def test_every_known_pre_tokenizer_gives_all_of_a_text_back(name: str, tmp_path: Path) -> None:
    metadata, *_ = byte_level_metadata(name)
    tokenizer = load_tokenizer(resolved(tmp_path, metadata, **{"tokenizer.ggml.add_bos_token": False}))
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == (unicodedata.normalize("NFC", text) if PRES[name].nfc else text), text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gpt-4o", "fooBar HTTPServer's 1234", ["foo", "Bar", " HTTPServer's", " ", "123", "4"]),
        ("tekken", "fooBar it's 12", ["foo", "Bar", " it", "'s", " ", "1", "2"]),
        ("deepseek-v3", "a 1234 \u4e2d\u6587x (y", ["a", " ", "123", "4", " ", "\u4e2d\u6587", "x", " (", "y"]),
        ("falcon", "a,b 12345", ["a", ",", "b", " ", "123", "45"]),
        ("qwen35", "cafe\u0301 12", ["caf\u00e9", " ", "1", "2"]),
    ],
)
def test_words_of_other_pre_tokenizers_by_hand(name: str, text: str, words: list[str], tmp_path: Path) -> None:
    metadata, *_ = byte_level_metadata(name)
    tokenizer = load_tokenizer(resolved(tmp_path, metadata, **{"tokenizer.ggml.add_bos_token": False}))
    text = unicodedata.normalize("NFC", text) if PRES[name].nfc else text
    found = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert [text[begin:end] for _, (begin, end) in found] == words


@pytest.mark.parametrize(
    ("pre", "metadata", "start"),
    [
        ("smollm", {}, 0),
        ("llama-bpe", {}, 1),
        ("llama-bpe", {"tokenizer.ggml.add_bos_token": False}, 0),
        ("qwen2", {"tokenizer.ggml.add_bos_token": True}, 1),
    ],
)
def test_texts_start_as_the_file_or_its_pre_tokenizer_says(
    pre: str, metadata: dict[str, Any], start: int, tmp_path: Path
) -> None:
    vocabulary, ids, _ = byte_level_metadata(pre, control=("<bos>",))
    tokenizer = load_tokenizer(
        resolved(tmp_path, vocabulary, **{"tokenizer.ggml.bos_token_id": ids["<bos>"], **metadata})
    )
    assert prefix_tokens(tokenizer) == [ids["<bos>"]] * start


def test_a_bos_token_that_is_wanted_but_not_named_is_an_error(tmp_path: Path) -> None:
    metadata, *_ = byte_level_metadata("llama-bpe")
    with pytest.raises(
        ValueError, match=r"are to have a BOS token, but it names none with tokenizer.ggml.bos_token_id"
    ):
        resolved(tmp_path, metadata)


def test_control_words_are_text_also_where_the_file_calls_them_user_defined_and_other_such_words_are_tokens(
    tmp_path: Path,
) -> None:
    metadata, ids, _ = byte_level_metadata(
        "qwen2", control=("<|im_end|>",), user_defined=("<tool_call>", "xtool", "    ")
    )
    tokenizer = load_tokenizer(resolved(tmp_path, metadata))
    found = tokenizer("a <tool_call><|im_end|> xtool b    c")["input_ids"]
    assert [i for i in found if i >= ids["<|im_end|>"]] == [ids["xtool"], ids["    "]]
    assert tokenizer.decode(found) == "a <tool_call><|im_end|> xtool b    c"


def test_a_large_vocabulary_that_does_not_say_how_texts_are_cut_is_refused() -> None:
    small = SimpleNamespace(pre=None, tokens=["a"] * 50_257)
    assert pre_tokenizer(small) == pre_tokenizer(SimpleNamespace(pre="gpt-2", tokens=small.tokens))
    with pytest.raises(ValueError, match=r"has no tokenizer\.ggml\.pre, and its 128,256 tokens are too many"):
        pre_tokenizer(SimpleNamespace(pre=None, tokens=["a"] * 128_256))


def test_a_known_word_is_not_taken_apart_where_merges_are_ignored(tmp_path: Path) -> None:
    metadata, ids, _ = byte_level_metadata("llama-bpe")
    metadata["tokenizer.ggml.tokens"].append("zqj")
    metadata["tokenizer.ggml.token_type"].append(1)
    tokenizer = load_tokenizer(resolved(tmp_path, metadata, **{"tokenizer.ggml.add_bos_token": False}))
    assert tokenizer("zqj")["input_ids"] == [len(ids)]
    assert len(tokenizer("zqjz")["input_ids"]) == 4


@pytest.mark.parametrize("pre", ["default", "viking", "no-such-thing"])
def test_a_pre_tokenizer_that_is_not_known_is_refused(pre: str, tmp_path: Path) -> None:
    metadata, *_ = byte_level_metadata(pre)
    with pytest.raises(ValueError, match=rf"tokenizer.ggml.pre is '{pre}', whose way .* Name a hub id"):
        resolved(tmp_path, metadata)


@pytest.mark.parametrize(
    ("merge", "message"),
    [("q z", "merge 0, 'q z', does not make a token"), ("qz", "merge 0, 'qz', does not"), (None, "name a pair twice")],
)
def test_merges_that_are_none_are_refused(merge: str | None, message: str, tmp_path: Path) -> None:
    metadata, *_ = byte_level_metadata("gpt-2")
    merges = metadata["tokenizer.ggml.merges"]
    merges.insert(0, merges[-1] if merge is None else merge)
    with pytest.raises(ValueError, match=message):
        resolved(tmp_path, metadata)


def test_every_pattern_is_one_that_the_library_reads() -> None:
    for pre in PRES.values():
        for step in pre.steps:
            if step["type"] == "Split":
                Regex(step["pattern"]["Regex"])
