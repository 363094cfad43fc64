"""Models named by hub id, from a small hub on this machine: nothing leaves it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from tests.udfs.models import tiny_model
from udfs.checkpoint import load_model, resolve_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubRequestHandler(SimpleHTTPRequestHandler):
    """Serves /org/name/resolve/REVISION/FILE from the folder org/name, with the headers that a model hub sends."""

    def translate_path(self, path: str) -> str:
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        known = revision in ("main", "v1", COMMIT)
        return str(Path(self.directory, name, file if known else "no such revision"))

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{file.name}-{file.stat().st_size if file.is_file() else 0}"')
        if not file.is_file():
            is_known = self.path.startswith("/api/") or file.parent.is_dir()
            self.send_header("X-Error-Code", "EntryNotFound" if is_known else "RepoNotFound")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model hub on this machine that has tiny/llama; the folder with its files."""
    root = tmp_path / "hub"
    shutil.copytree(folder, root / "tiny" / "llama")
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: HubRequestHandler(*args, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(f"http://127.0.0.1:{server.server_port}", tmp_path / "hub cache", monkeypatch)
    yield root / "tiny" / "llama"
    server.shutdown()
    server.server_close()


def use_hub(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.mark.parametrize("name", ["tiny/llama", "tiny/llama@v1", f"tiny/llama@{COMMIT}"])
def test_a_hub_model_is_pinned_to_the_commit_that_was_found(name: str, hub: Path) -> None:
    checkpoint = resolve_checkpoint(name)
    assert checkpoint.path == "tiny/llama"
    assert checkpoint.revision == checkpoint.weights_hash == COMMIT
    assert checkpoint.model_id == f"tiny/llama@{COMMIT[:12]}"
    model = load_model(checkpoint, torch.float32, "cpu")
    assert torch.equal(model.lm_head.weight, tiny_model("llama").lm_head.weight)


def test_a_hub_model_with_pickled_weights_only_is_refused(hub: Path) -> None:
    torch.save(load_file(hub / "model.safetensors"), hub / "pytorch_model.bin")
    (hub / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="tiny/llama' cannot be loaded"):
        load_model(resolve_checkpoint("tiny/llama"), torch.float32, "cpu")


@pytest.mark.parametrize("name", ["tiny/lama", "tiny/llama@v2", "tiny..llama", "tiny/" + "x" * 100])
def test_a_model_or_revision_that_the_hub_lacks_is_refused(name: str, hub: Path) -> None:
    with pytest.raises(ValueError, match=f"model '{name}' cannot be loaded: .* Name a hub id"):
        resolve_checkpoint(name)


def test_a_hub_that_cannot_be_reached_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub("http://127.0.0.1:1", tmp_path, monkeypatch)
    begin = time.monotonic()
    with pytest.raises(ValueError, match="'tiny/llama@v1' cannot be loaded: the model hub cannot be reached"):
        resolve_checkpoint("tiny/llama@v1")
    assert time.monotonic() - begin < 5


def test_a_cached_hub_model_needs_no_hub(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = resolve_checkpoint("tiny/llama@v1")
    load_model(checkpoint, torch.float32, "cpu")
    use_hub("http://127.0.0.1:1", Path(constants.HF_HUB_CACHE), monkeypatch)
    assert resolve_checkpoint("tiny/llama@v1") == checkpoint
    assert load_model(checkpoint, torch.float32, "cpu").config.num_hidden_layers == 3
