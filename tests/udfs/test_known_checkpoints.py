"""A model's name is resolved without torch only while nothing that the answer depends on has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.udfs.models import tiny_model
from udfs import known_checkpoints
from udfs.checkpoint import resolve_checkpoint
from udfs.known_checkpoints import remember_plausible, remembered_checkpoint, resolve_and_remember


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model_folder: str) -> Path:
    """A model that was made long ago, and a cache of its own."""
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    # Nobody can set back when a file was changed, as the system has it.
    monkeypatch.setattr(known_checkpoints, "SETTLED_NS", 0)
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def test_what_was_resolved_is_known_afterwards(folder: Path) -> None:
    assert remembered_checkpoint(str(folder)) is None
    checkpoint = resolve_and_remember(str(folder))
    assert checkpoint == resolve_checkpoint(str(folder)) == remembered_checkpoint(str(folder))


def test_torch_is_not_needed_to_know_it(folder: Path) -> None:
    model_id = resolve_and_remember(str(folder)).model_id
    code = (
        "import sys; from udfs.known_checkpoints import remembered_checkpoint\n"
        "print(remembered_checkpoint(sys.argv[1]).model_id, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer == f"{model_id} False\n"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_that_was_changed_in_place_is_read_again_although_size_and_time_are_as_before(
    folder: Path, name: str
) -> None:
    resolve_and_remember(str(folder))
    file = folder / name
    before = file.stat()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert remembered_checkpoint(str(folder)) is None


def test_a_file_that_came_or_went_is_a_change(folder: Path) -> None:
    resolve_and_remember(str(folder))
    (folder / "adapter_config.json").write_text("{}")
    assert remembered_checkpoint(str(folder)) is None
    (folder / "adapter_config.json").unlink()
    resolve_and_remember(str(folder))
    (folder / "tokenizer_config.json").unlink()
    assert remembered_checkpoint(str(folder)) is None


def test_a_link_to_another_model_is_another_model(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    tiny_model("llama", seed=1).save_pretrained(other)
    link = tmp_path / "newest"
    link.symlink_to(folder)
    resolve_and_remember(str(link))
    link.unlink()
    link.symlink_to(other)
    assert remembered_checkpoint(str(link)) is None
    assert resolve_and_remember(str(link)) != resolve_checkpoint(str(folder))


def test_another_version_of_a_library_or_of_this_package_looks_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_and_remember(str(folder))
    with monkeypatch.context() as context:
        context.setattr(known_checkpoints, "version", lambda name: "0.1")
        assert remembered_checkpoint(str(folder)) is None
    monkeypatch.setattr(known_checkpoints, "__file__", str(tmp_path / "udfs" / "known_checkpoints.py"))
    # As within a zip, where there are no files to look at.
    assert remembered_checkpoint(str(folder)) is None


def test_a_model_that_was_touched_a_moment_ago_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(folder.parent / "cache"))
    (folder / "README.md").write_text("Touched now.")
    resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) is None


def test_that_a_model_knows_plain_text_is_remembered_until_it_changes(folder: Path) -> None:
    def is_known() -> bool:
        return remembered_checkpoint(str(folder), must_be_plausible=True) is not None

    checkpoint = resolve_and_remember(str(folder))
    assert not is_known()
    remember_plausible(checkpoint)
    assert is_known()
    resolve_and_remember(str(folder))
    assert is_known()
    (folder / "config.json").touch()
    resolve_and_remember(str(folder))
    assert not is_known()
    remember_plausible(checkpoint)
    (folder / "config.json").touch()
    remember_plausible(resolve_checkpoint(str(folder)))
    assert not is_known()


def test_a_link_that_leads_nowhere_is_no_obstacle_and_a_linked_folder_is_not_looked_into(
    folder: Path, tmp_path: Path
) -> None:
    (folder / ".#config.json").symlink_to("somebody@somewhere.4711")
    checkpoint = resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) == checkpoint
    (tmp_path / "shards").mkdir()
    (folder / "shards").symlink_to(tmp_path / "shards")
    assert remembered_checkpoint(str(folder)) is None
    resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) is None


def test_a_user_without_a_home_needs_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    checkpoint = resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) == checkpoint
    monkeypatch.delenv("ATTENTION_INFLUENCE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert resolve_and_remember(str(folder)) == checkpoint
    assert remembered_checkpoint(str(folder)) is None


def test_a_model_that_changes_while_it_is_resolved_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(name: str, *, trust_remote_code: bool) -> object:
        checkpoint = resolve_checkpoint(name, trust_remote_code=trust_remote_code)
        (folder / "config.json").touch()
        return checkpoint

    monkeypatch.setattr("udfs.checkpoint.resolve_checkpoint", resolve)
    # As if the files' times came from a clock that is an hour late.
    monkeypatch.setattr(known_checkpoints, "SETTLED_NS", -3600 * 10**9)
    resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) is None


def test_code_of_the_models_own_and_names_on_the_hub_are_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_and_remember(str(folder), trust_remote_code=True)
    assert remembered_checkpoint(str(folder)) is None
    resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder), trust_remote_code=True) is None
    assert remembered_checkpoint("org/name") is None
    # Also where a file of the same name lies in the working folder.
    of_a_hub = replace(resolve_checkpoint(str(folder)), revision="4711")
    monkeypatch.setattr("udfs.checkpoint.resolve_checkpoint", lambda *_, **__: of_a_hub)
    shutil.rmtree(folder.parent / "cache")
    resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 200_000, '{"checkpoint": {"name": "x"}}'])
def test_a_broken_entry_of_the_cache_counts_as_none(folder: Path, content: str) -> None:
    checkpoint = resolve_and_remember(str(folder))
    [entry] = (folder.parent / "cache" / "checkpoints").iterdir()
    entry.write_text(content)
    assert remembered_checkpoint(str(folder)) is None
    resolve_and_remember(str(folder))
    assert remembered_checkpoint(str(folder)) == checkpoint


def test_a_cache_that_cannot_be_written_is_no_obstacle(folder: Path) -> None:
    (folder.parent / "cache").write_text("a file, where a folder should be")
    assert resolve_and_remember(str(folder)) == resolve_checkpoint(str(folder))
    assert remembered_checkpoint(str(folder)) is None
