"""Files that are no GGUF model, or none that is read exactly: each is named, with what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.udfs.gguf_files import sentencepiece_metadata, tiny_llama, trained_pieces, write_gguf
from udfs.checkpoint import resolve_checkpoint

PIECES = trained_pieces()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(folder: Path, model: Any = None, name: str = "tiny.gguf", **metadata: Any) -> str:
    return str(write_gguf(folder / name, model or tiny_llama(len(PIECES)), sentencepiece_metadata(PIECES), **metadata))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 98362432\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; download it again"),
        (LFS, "is a Git LFS pointer, not the file itself; run 'git lfs install' and 'git lfs pull'"),
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page, such as an error"),
        (b'{"error": "not found"}', "it is a web page or a server's answer"),
        (b"\x1f\x8b\x08 anything", "it is compressed by gzip"),
        (b"\x80\x02}q\x00", "it is no GGUF file: it begins with"),
        (b"GGUF", "cannot be read to its end"),
        (b"GGUF" + bytes(60), "cannot be read to its end"),
    ],
)
def test_a_file_that_is_something_else_is_named(content: bytes, message: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(content)
    with pytest.raises(ValueError, match=rf"other.gguf' cannot be loaded: .*{message}"):
        resolve_checkpoint(str(tmp_path / "other.gguf"))
    assert not list(cache.glob("*"))


def test_a_zip_archive_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.gguf", "w") as archive:
        archive.writestr("model.gguf", "GGUF")
    with pytest.raises(ValueError, match="it is a zip archive"):
        resolve_checkpoint(str(tmp_path / "model.gguf"))


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(part: float, tmp_path: Path, cache: Path) -> None:
    whole = Path(made(tmp_path)).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match=r"cannot be read to its end \([\d,]+ bytes\): it is cut off or damaged"):
        resolve_checkpoint(str(tmp_path / "cut.gguf"))
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("name", "metadata", "message"),
    [
        ("a.gguf", {"split.count": 2}, "one of several shards of a model; merge them"),
        ("a-00001-of-00003.gguf", {}, "one of several shards of a model; merge them"),
        ("a.gguf", {"general.type": "mmproj"}, "no language model, but of type 'mmproj'"),
        ("a.gguf", {"general.type": "adapter"}, "no language model, but of type 'adapter'"),
        ("a.gguf", {"tokenizer.ggml.model": None}, "its vocabulary is of the kind None"),
        *(
            ("a.gguf", {"tokenizer.ggml.model": kind}, f"is of the kind '{kind}'")
            for kind in ("t5", "bert", "rwkv", "none")
        ),
        ("a.gguf", {"tokenizer.ggml.tokens": None}, "no tokenizer.ggml.tokens"),
        ("a.gguf", {"tokenizer.ggml.scores": None}, "has no tokenizer.ggml.scores for"),
        ("a.gguf", {"tokenizer.ggml.scores": [0.0, 1.0]}, "has 2 tokenizer.ggml.scores for"),
        ("a.gguf", {"tokenizer.ggml.token_type": None}, "has no tokenizer.ggml.token_type for"),
        ("a.gguf", {"tokenizer.ggml.token_type": [9] * len(PIECES)}, "has 9, which is no type of token"),
        ("a.gguf", {"tokenizer.ggml.bos_token_id": 10_000}, "bos_token_id is 10000, but its vocabulary has"),
        ("a.gguf", {"tokenizer.ggml.remove_extra_whitespaces": True}, "its vocabulary normalises texts"),
        ("a.gguf", {"tokenizer.ggml.tokens": ["a"] * len(PIECES)}, "has the token 'a' twice, as 0 and 1"),
        ("a.gguf", {"tokenizer.ggml.tokens": [""] * len(PIECES)}, "token 0 of its vocabulary is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    name: str, metadata: dict[str, Any], message: str, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_checkpoint(made(tmp_path, name=name, **metadata))
    assert not list(cache.iterdir())


def test_a_vocabulary_alone_is_refused(tmp_path: Path) -> None:
    model = tiny_llama(len(PIECES))
    model.state_dict = dict
    with pytest.raises(ValueError, match="holds no weights, only a vocabulary"):
        resolve_checkpoint(made(tmp_path, model))
