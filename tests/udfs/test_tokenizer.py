"""A model's tokenizer is its tokenizer.json to the letter, whatever class its other files name."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers, processors
from transformers import AutoTokenizer

from tests.udfs.conftest import byte_level_tokenizer
from tests.udfs.tokenizers_of_all_kinds import (
    KINDS,
    TEXTS,
    as_the_file_says,
    byte_fallback,
    byte_level,
    read,
    save,
    text_ids,
)
from udfs.checkpoint import load_tokenizer, resolve_checkpoint
from udfs.known_checkpoints import Checkpoint
from udfs.prefix_tokens import prefix_tokens
from udfs.tokenizer import warn_of_lost_text

CLASSES = [
    "LlamaTokenizer",
    "LlamaTokenizerFast",
    "GemmaTokenizer",
    "Qwen2Tokenizer",
    "GPT2Tokenizer",
    "GPTNeoXTokenizer",
    "T5Tokenizer",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
    "NoSuchTokenizer",
    None,
]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_has_the_tokens_of_tokenizer_json_whatever_class_is_named(kind: str, name: str, tmp_path: Path) -> None:
    folder = save(KINDS[kind](), tmp_path, **({"tokenizer_class": name, "legacy": False} if name else {}))
    tokenizer, expected = read(folder), as_the_file_says(folder)
    for text in TEXTS.values():
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        encoding = expected.encode(text, add_special_tokens=False)
        assert found["input_ids"] == encoding.ids, text
        assert [tuple(pair) for pair in found["offset_mapping"]] == encoding.offsets, text
        assert tokenizer.decode(encoding.ids) == expected.decode(encoding.ids, skip_special_tokens=False), text
    assert tokenizer.is_fast


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_tokenizer_json_is_altered(kind: str, tmp_path: Path) -> None:
    tokenizer = KINDS[kind]()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder = save(tokenizer, tmp_path, tokenizer_class="LlamaTokenizer", bos_token="<x>", add_prefix_space=True)
    assert read(folder).backend_tokenizer.to_str() == as_the_file_says(folder).to_str()


def test_a_vocabulary_of_more_than_a_hundred_thousand_is_not_altered(tmp_path: Path) -> None:
    # transformers gives those of Mistral another pattern, and asks the hub which these are.
    content = json.loads(byte_level().to_str())
    size = len(content["model"]["vocab"])
    content["model"]["vocab"] |= {f"word{number}": number for number in range(size, 100_500)}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mistral", "transformers_version": "4.40.0"}))
    folder = save(Tokenizer.from_str(json.dumps(content)), tmp_path, tokenizer_class="LlamaTokenizerFast")
    assert read(folder).backend_tokenizer.to_str() == as_the_file_says(folder).to_str()


def test_a_tokenizer_that_was_saved_again_is_the_same(tmp_path: Path) -> None:
    tokenizer = read(save(byte_level(), tmp_path, bos_token="<s>", add_bos_token=True))
    tokenizer.save_pretrained(tmp_path / "again")
    assert read(str(tmp_path / "again")).fingerprint == tokenizer.fingerprint


def test_truncation_and_padding_are_off(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=50, pad_id=0, pad_token="<unk>")
    folder = save(tokenizer, tmp_path, add_bos_token=True, bos_token="<s>")
    text = TEXTS["plain"] * 20
    assert text_ids(read(folder), text) == as_the_file_says(folder).encode(text).ids
    assert prefix_tokens(read(folder)) == [1]


def test_a_tokenizer_that_draws_its_merges_at_random_does_not_do_so_here(tmp_path: Path) -> None:
    content = json.loads(byte_level().to_str())
    content["model"]["dropout"] = 0.5
    tokenizer = read(save(Tokenizer.from_str(json.dumps(content)), tmp_path))
    assert len({tuple(text_ids(tokenizer, TEXTS["code"])) for _ in range(20)}) == 1


@pytest.mark.parametrize("bos", [True, False])
def test_a_tokenizer_that_was_read_right_before_keeps_its_hash(bos: bool, folder: Path) -> None:
    byte_level_tokenizer(bos=bos).save_pretrained(folder)
    before = AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str()
    assert resolve_checkpoint(str(folder)).tokenizer_hash == hashlib.sha256(before.encode()).hexdigest()


def test_the_real_models_hash_has_not_moved(smollm2_checkpoint: Checkpoint) -> None:
    before = AutoTokenizer.from_pretrained(smollm2_checkpoint.path).backend_tokenizer.to_str()
    assert smollm2_checkpoint.tokenizer_hash == hashlib.sha256(before.encode()).hexdigest()


STARTS = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
ENDS = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
BOTH = processors.Sequence([processors.ByteLevel(trim_offsets=True), STARTS])
ANOTHER = processors.TemplateProcessing(single="</s> <s> $A", special_tokens=[("<s>", 1), ("</s>", 2)])
OWN = processors.ByteLevel(trim_offsets=False)
CLS = processors.BertProcessing(("</s>", 2), ("<s>", 1))
ROBERTA = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))


@pytest.mark.parametrize(
    ("processor", "settings", "start"),
    [
        # Without add_bos_token, the post-processor alone.
        (None, {}, []),
        (OWN, {"bos_token": "<s>"}, []),
        (OWN, {"bos_token": "<s>", "tokenizer_class": "LlamaTokenizerFast"}, []),
        (STARTS, {"tokenizer_class": "GPTNeoXTokenizer"}, [1]),
        (ANOTHER, {"bos_token": "<s>"}, [2, 1]),
        (STARTS, {"bos_token": "<s>", "add_bos_token": None}, [1]),
        # With it, what it says.
        (None, {"bos_token": "<s>", "add_bos_token": True}, [1]),
        (OWN, {"bos_token": "<s>", "add_bos_token": True, "tokenizer_class": "LlamaTokenizerFast"}, [1]),
        (OWN, {"bos_token": {"content": "<s>", "__type": "AddedToken"}, "add_bos_token": True}, [1]),
        (ENDS, {"bos_token": "<s>", "add_bos_token": True}, [1]),
        (ENDS, {"bos_token": "</s>", "add_bos_token": True}, [2]),
        (STARTS, {"bos_token": "<s>", "add_bos_token": True}, [1]),
        (STARTS, {"bos_token": "<s>", "add_bos_token": False}, []),
        (BOTH, {"bos_token": "<s>", "add_bos_token": False}, []),
        (CLS, {"bos_token": "<s>", "add_bos_token": False}, []),
        (ROBERTA, {"bos_token": "<s>", "add_bos_token": False}, []),
        (ANOTHER, {"bos_token": "<s>", "add_bos_token": False}, [2]),
        (OWN, {"add_bos_token": False}, []),
        (STARTS, {"add_bos_token": True}, [1]),
    ],
)
def test_a_text_starts_as_add_bos_token_says_and_without_it_as_the_post_processor_does(
    processor: Any, settings: dict[str, Any], start: list[int], tmp_path: Path
) -> None:
    tokenizer = byte_level()
    if processor is not None:
        tokenizer.post_processor = processor
    folder = save(tokenizer, tmp_path, **settings)
    text = TEXTS["code"]
    found = read(folder)
    assert prefix_tokens(found) == start
    assert found(text)["input_ids"][: len(start)] == start
    assert text_ids(found, text) == as_the_file_says(folder).encode(text, add_special_tokens=False).ids
    # Where the post-processor trims offsets, it still does.
    offsets = found(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert [tuple(pair) for pair in offsets] == as_the_file_says(folder).encode(text, add_special_tokens=False).offsets


def test_the_bos_may_be_named_in_the_older_file(tmp_path: Path) -> None:
    folder = save(byte_level(), tmp_path, add_bos_token=True)
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<s>"}')
    assert prefix_tokens(read(folder)) == [1]


def test_a_bos_that_is_not_wanted_goes_even_where_nothing_names_it(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    assert prefix_tokens(read(save(tokenizer, tmp_path / "without"))) == [1]
    assert prefix_tokens(read(save(tokenizer, tmp_path / "unwanted", add_bos_token=False))) == []


def test_the_hash_does_not_depend_on_what_is_off(tmp_path: Path) -> None:
    padded = byte_level()
    plain = read(save(padded, tmp_path / "plain"))
    padded.enable_padding(pad_token="[PAD]", pad_id=3)
    padded.enable_truncation(7)
    assert read(save(padded, tmp_path / "padded")).fingerprint == plain.fingerprint


def test_a_tokenizer_that_loses_spaces_or_capitals_is_said(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_lost_text("whole", read(save(byte_level(), tmp_path / "whole")))
    lowering = byte_level()
    lowering.normalizer = normalizers.Lowercase()
    with pytest.warns(UserWarning, match="the tokenizer of 'low' does not give plain text back"):
        warn_of_lost_text("low", read(save(lowering, tmp_path / "low")))


def test_a_worker_with_another_tokenizer_than_the_driver_refuses_it(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is another here than where this run began"):
        load_tokenizer(checkpoint)


@pytest.mark.parametrize("bos", [None, "<nowhere>"])
def test_a_bos_that_is_wanted_but_unknown_is_refused(bos: str | None, tmp_path: Path) -> None:
    folder = save(byte_level(), tmp_path, add_bos_token=True, bos_token=bos)
    with pytest.raises(ValueError, match=r"says add_bos_token, but its bos_token .* is no token of its tokenizer.json"):
        read(folder)


def test_the_hash_moves_with_the_bos_token_that_add_bos_token_decides(tmp_path: Path) -> None:
    fingerprints = {
        read(save(byte_level(), tmp_path / str(wanted), add_bos_token=wanted, bos_token="<s>")).fingerprint
        for wanted in (True, False, None)
    }
    assert len(fingerprints) == 2


def test_a_vocabulary_without_latin_letters_still_starts_with_its_bos(tmp_path: Path) -> None:
    content = json.loads(byte_level().to_str())
    content["model"] |= {"vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "1": 3, "0": 4}, "merges": []}
    folder = save(Tokenizer.from_str(json.dumps(content)), tmp_path, add_bos_token=True, bos_token="<s>")
    assert prefix_tokens(read(folder)) == [1]


def test_a_bos_that_is_also_the_unknown_token_is_not_lost(tmp_path: Path) -> None:
    tokenizer = byte_fallback()
    content = json.loads(tokenizer.to_str())
    content["model"] |= {"vocab": {"<unk>": 0, "x": 1}, "merges": [], "byte_fallback": False}
    content["added_tokens"] = content["added_tokens"][:1]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(single="<unk> $A", special_tokens=[("<unk>", 0)])
    assert prefix_tokens(read(save(tokenizer, tmp_path))) == [0]


BROKEN = {
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html><html><title>Sign in</title></html>", "is a web page"),
    "empty": (b"", "is empty; download it again"),
    "zeros": (b"\0" * 900, "begins with nothing but zeros"),
    "cut off": (byte_level().to_str().encode()[:-500], "is broken or cut off"),
    "no tokenizer": (b'{"error": "not found"}', "is broken or cut off"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_tokenizer_json_that_is_none_is_named(what: str, folder: Path) -> None:
    content, message = BROKEN[what]
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"tokenizer.json.*{message}") as error:
        resolve_checkpoint(str(folder))
    assert len(str(error.value)) < 900


@pytest.mark.parametrize("content", [BROKEN["a Git LFS pointer"][0], BROKEN["a web page"][0], b"{", b"[]", b""])
def test_a_tokenizer_config_that_cannot_be_read_is_named(content: bytes, folder: Path) -> None:
    (folder / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"tokenizer_config.json (is|holds) "):
        resolve_checkpoint(str(folder))


def test_a_tokenizer_without_tokenizer_json_is_refused_and_its_own_code_does_not_run(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "own.py").write_text(f"open({str(folder / 'it_ran')!r}, 'w').close()\n")
    config = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text("{}")
    for trust in (True, False):
        with pytest.raises(ValueError, match=r"has no fast tokenizer \(tokenizer.json\) \(its tokenizer is code of"):
            resolve_checkpoint(str(folder), trust_remote_code=trust)
    assert not (folder / "it_ran").exists()
