"""Files that are no weights are named before anything is loaded, and the hash covers what is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.udfs.models import tiny_model
from udfs.checkpoint import load_model, resolve_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html lang='en'><head><title>Sign in</title></head></html>"


@pytest.fixture
def sharded(folder: Path) -> Path:
    """A tiny Llama in several files."""
    (folder / "model.safetensors").unlink()
    tiny_model("llama").save_pretrained(folder, max_shard_size="30KB")
    return folder


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        resolve_checkpoint(str(folder))
    assert "cannot be loaded" in str(error.value)
    assert len(str(error.value)) < 1_000


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            POINTER,
            "is a Git LFS pointer, not the file itself; run 'git lfs install' and 'git lfs pull' in .*tiny-llama",
        ),
        (POINTER.replace(b"\n", b"\r\n"), "is a Git LFS pointer"),
        (PAGE, "is a web page, such as an error or a login; download it again"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is a web page"),
        (b"", "is empty; download it again"),
        (b"\0" * 5_000, "begins with nothing but zeros"),
    ],
)
def test_a_file_that_is_not_itself_is_named_with_what_to_do(
    file: str, content: bytes, message: str, folder: Path
) -> None:
    (folder / file).write_bytes(content)
    refused(folder, f"its {file} {message}")


def test_a_pointer_in_place_of_the_index_or_a_shard_is_named(sharded: Path) -> None:
    index = (sharded / "model.safetensors.index.json").read_bytes()
    (sharded / "model.safetensors.index.json").write_bytes(POINTER)
    refused(sharded, "its model.safetensors.index.json is a Git LFS pointer")
    (sharded / "model.safetensors.index.json").write_bytes(index)
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.write_bytes(POINTER)
    refused(sharded, f"its {shard.name} is a Git LFS pointer")


@pytest.mark.parametrize("length", [1, 7, 8, 100, 4_000, -1])
def test_weights_that_are_cut_off_are_named(length: int, folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    refused(folder, r"its model.safetensors is (cut off: [\d,]+ of at least [\d,]+ bytes|no safetensors file)")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + b"x" * 900, b'{"error": "not found"}', b"\x02" + b"\0" * 7 + b"[]"]
)
def test_weights_of_another_format_are_named(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "its model.safetensors is no safetensors file")


def test_weights_with_more_bytes_than_their_header_says_are_refused(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    refused(folder, "its model.safetensors is no safetensors file")


def test_a_shard_that_is_missing_or_cut_off_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:-9])
    refused(sharded, f"its {shard.name} is cut off")
    shard.unlink()
    refused(sharded, f"its model.safetensors.index.json names {shard.name}, which is not there; download")
    shard.symlink_to("../blobs/0123")
    refused(sharded, f"its {shard.name} is missing, a link to ../blobs/0123, which is not there")


def test_an_index_without_any_shard_is_no_empty_folder(sharded: Path) -> None:
    for shard in sharded.glob("model-*.safetensors"):
        shard.unlink()
    refused(sharded, r"names model-00001-of-\d+.safetensors, which is not there")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_broken_is_named(content: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(content)
    refused(sharded, "its model.safetensors.index.json is broken or cut off")


def test_an_index_of_pickled_weights_is_refused(sharded: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "pytorch_model-00001-of-00001.bin"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(sharded, "its model.safetensors.index.json is broken or cut off")


def test_two_sets_of_weights_are_refused(sharded: Path, tmp_path: Path) -> None:
    tiny_model("llama", seed=1).save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", sharded)
    refused(sharded, r"two sets of weights, model.safetensors and model-00001-of-\d+.safetensors; remove the one")
    (sharded / "model.safetensors.index.json").unlink()
    refused(sharded, "two sets of weights")


def test_what_is_not_loaded_is_neither_read_nor_hashed(folder: Path) -> None:
    before = resolve_checkpoint(str(folder))
    for name in ("consolidated.safetensors", "model.fp16.safetensors", "optimizer.safetensors"):
        (folder / name).write_bytes(POINTER)
    after = resolve_checkpoint(str(folder))
    assert after == before
    expected = tiny_model("llama").state_dict()
    loaded = load_model(after, torch.float32, "cpu").state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in expected.items())


def test_every_shard_that_is_loaded_is_hashed(sharded: Path) -> None:
    hashes = {resolve_checkpoint(str(sharded)).weights_hash}
    shards = sorted(sharded.glob("model-*.safetensors"))
    for shard in shards:
        weights = load_file(shard)
        save_file({name: w + 1e-3 for name, w in weights.items()}, shard, metadata={"format": "pt"})
        hashes.add(resolve_checkpoint(str(sharded)).weights_hash)
    assert len(hashes) == len(shards) + 1


@pytest.mark.parametrize("name", ["consolidated.safetensors", "model.fp16.safetensors"])
def test_weights_under_another_name_only_are_refused(name: str, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, "it has neither model.safetensors nor model.safetensors.index.json")


def test_an_adapter_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    refused(folder, r"it holds an adapter \(adapter_config.json\).*merge_and_unload")
    (folder / "adapter_config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    refused(folder, r"it holds an adapter \(adapter_model.safetensors\)")


def test_an_adapter_without_the_models_configuration_is_refused_as_one(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "config.json").unlink()
    refused(folder, "it holds an adapter")


def test_weights_that_the_configuration_names_elsewhere_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": "other.safetensors"}))
    refused(folder, "its config.json has its weights in other.safetensors")


@pytest.mark.parametrize("content", [POINTER, PAGE, b""])
def test_a_gguf_file_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    refused(tmp_path / "model.gguf", r"its model.gguf is (a Git LFS pointer|a web page|empty)")


def test_an_index_that_lists_the_one_file_that_there_is_makes_no_second_set(folder: Path) -> None:
    index = {"weight_map": dict.fromkeys(load_file(folder / "model.safetensors"), "model.safetensors")}
    before = resolve_checkpoint(str(folder))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert resolve_checkpoint(str(folder)) == before
