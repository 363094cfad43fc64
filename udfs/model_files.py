"""The files that a model is loaded from, found and checked before anything is loaded.

For a file that is something else, such as a Git LFS pointer, a web page or a download that was cut off, the error says
what it is and what to do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.utils.hub import cached_file

from udfs.file_kinds import HTML, LFS
from udfs.loading import as_value_error, quiet_transformers, unloadable

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
WEB_PAGE = (*(word.encode() for word in HTML), b"<!doctype", b"<?xml", b"<!--")


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is stored in safetensors, and its shape; the tensor itself is not read."""

    file: Path
    shape: tuple[int, ...]


def check_is_itself(name: str, file: Path) -> None:
    """Raise ValueError where file is a Git LFS pointer, a web page, empty, missing or a broken link."""
    if not file.is_file():
        to = f", a link to {file.readlink()}, which is not there" if file.is_symlink() else ""
        raise unloadable(name, f"its {file.name} is missing{to}; download it again.")
    with file.open("rb") as stream:
        begin = stream.read(512)
    trimmed = begin.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if trimmed.startswith(LFS):
        raise unloadable(
            name,
            f"its {file.name} is a Git LFS pointer, not the file itself; run 'git lfs install' and 'git lfs pull' in "
            f"{file.parent}, or download the model again.",
        )
    if trimmed.startswith(WEB_PAGE):
        raise unloadable(name, f"its {file.name} is a web page, such as an error or a login; download it again.")
    if not begin.strip(b"\0 \t\r\n"):
        what = "is empty" if not begin else "begins with nothing but zeros or white space"
        raise unloadable(name, f"its {file.name} {what}; download it again.")


def find_file(name: str, path: str, revision: str | None, file: str) -> Path | None:
    """The path of a model's file, in its folder or in the hub's cache; None where the model has no such file."""
    folder = Path(path)
    if folder.is_dir():
        # A broken link counts as a file, because it shows that there should be one.
        return folder / file if (folder / file).is_file() or (folder / file).is_symlink() else None
    # With the commit, files that are known not to exist are not asked for again, so a cached model needs no hub.
    source = {"revision": revision, "_commit_hash": revision, "_raise_exceptions_for_missing_entries": False}
    with quiet_transformers(), as_value_error(name):
        cached = cached_file(path, file, **source)
    return None if cached is None else Path(cached)


def weight_files(name: str, path: str, revision: str | None) -> list[Path]:
    """Exactly those safetensors files that transformers loads for the model at path, sorted by name.

    path is a folder, or a hub id whose files are downloaded already. Raises ValueError where a file is missing, or is
    no file of weights.
    """
    # As in transformers, a whole file comes before an index of shards.
    if (whole := find_file(name, path, revision=revision, file=WHOLE)) is not None:
        files = [whole]
    elif (index := find_file(name, path, revision=revision, file=INDEX)) is not None:
        files = [_shard(name, path, revision=revision, shard=shard) for shard in _shards(name, index)]
    else:
        raise unloadable(name, f"it has neither {WHOLE} nor {INDEX}; save it with save_pretrained.")
    for file in files:
        check_is_itself(name, file)
    return files


def stored_tensors(name: str, files: list[Path]) -> dict[str, StoredTensor]:
    """Every tensor of the files by its name, from their headers alone; ValueError for a file that is cut off."""
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        _check_length(name, file)
        try:
            with safe_open(file, framework="pt") as weights:
                for tensor in weights.keys():  # noqa: SIM118
                    tensors[tensor] = StoredTensor(file, tuple(weights.get_slice(tensor).get_shape()))
        except (SafetensorError, OSError) as error:
            raise unloadable(name, f"its {file.name} is no safetensors file ({str(error)[:200]}).") from error
    return tensors


def check_is_whole(name: str, folder: Path) -> None:
    """Raise ValueError where the folder holds an adapter of another model, or two sets of weights."""
    names = sorted(file.name for file in folder.iterdir())
    adapters = [file for file in names if file.startswith(("adapter_config.", "adapter_model."))]
    if adapters:
        raise unloadable(
            name,
            f"it holds an adapter ({adapters[0]}), which changes the weights of another model; merge the two "
            "(PeftModel.merge_and_unload), save the whole with save_pretrained, or remove the adapter.",
        )
    others = [file for file in names if file == INDEX or (file.startswith("model-") and file.endswith(".safetensors"))]
    # An index may list the whole file as its only one.
    if others == [INDEX] and WHOLE in names and _shards(name, folder / INDEX) == [WHOLE]:
        return
    if WHOLE in names and others:
        raise unloadable(
            name,
            f"it holds two sets of weights, {WHOLE} and {others[0]}; remove the one that is not the model's.",
        )


def _shard(name: str, path: str, revision: str | None, shard: str) -> Path:
    file = find_file(name, path, revision=revision, file=shard)
    if file is None:
        raise unloadable(name, f"its {INDEX} names {shard}, which is not there; download the model again.")
    return file


def _shards(name: str, index: Path) -> list[str]:
    check_is_itself(name, index)
    try:
        content: Any = json.loads(index.read_text(encoding="utf-8"))
        shards = sorted(set(content["weight_map"].values()))
        if not shards or not all(shard.endswith(".safetensors") for shard in shards):
            raise ValueError(f"it names {shards[:1]} as weights")
        return shards
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise unloadable(
            name, f"its {index.name} is broken or cut off ({str(error)[:200]!r}); download it again."
        ) from error


def _check_length(name: str, file: Path) -> None:
    """Raise ValueError where the header promises more bytes than the file has."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
        # safetensors itself allows no longer headers.
        if size < 8 or header > 100_000_000:
            raise unloadable(name, f"its {file.name} is no safetensors file: it has no header.")
        begin = stream.read(header)
    try:
        ends = [t["data_offsets"][1] for key, t in json.loads(begin).items() if key != "__metadata__"]
        promised = 8 + header + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        if size < 8 + header:
            promised = 8 + header
        else:
            raise unloadable(name, f"its {file.name} is no safetensors file: its header cannot be read.") from error
    if size < promised:
        raise unloadable(
            name, f"its {file.name} is cut off: {size:,} of at least {promised:,} bytes are there; download it again."
        )
