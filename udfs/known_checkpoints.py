"""What a name was resolved to before: found again, without torch, while the model's files have not been touched.

Like git's index, it trusts a file's size and times. So it only tells which scorer a run would be of, to find that
nothing is left to score; whatever scores reads and hashes every byte of the model again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

# What decides, besides the model's files and this package, whether a model is accepted and what its tokens are.
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
# A file that was touched this shortly before, in nanoseconds, may be touched again within the resolution of its times.
SETTLED_NS = 10 * 10**9


@dataclass(frozen=True)
class Checkpoint:
    """What identifies a model, and what the jobs need to know of it before they load it.

    name is what the user wrote. path is what transformers loads: a folder or a hub id. weights_hash and tokenizer_hash
    change exactly when results may change. max_positions is the longest text, in tokens, that the model reads exactly.
    """

    name: str
    path: str
    revision: str | None
    trust_remote_code: bool
    model_id: str
    weights_hash: str
    tokenizer_hash: str
    model_type: str
    num_layers: int
    num_heads: int
    max_positions: int
    vocab_size: int


def cache_folder() -> Path:
    """Where converted models are kept: $ATTENTION_INFLUENCE_CACHE, or the user's cache folder."""
    if own := os.environ.get("ATTENTION_INFLUENCE_CACHE"):
        return Path(own)
    # Not looked up before: a container's user may have no home.
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches or Path.home() / ".cache") / "attention-influence"


def resolve_and_remember(name: str, *, trust_remote_code: bool = False) -> Checkpoint:
    """resolve_checkpoint; what it returns can be found by remembered_checkpoint from then on."""
    from udfs.checkpoint import resolve_checkpoint

    started, before = time.time_ns(), _stamps([name])
    checkpoint = resolve_checkpoint(name, trust_remote_code=trust_remote_code)
    state = _state(checkpoint)
    # Stamps are compared, too: a file server's clock may be another than this machine's.
    if state and _newest(state) < started - SETTLED_NS and before == _stamps([name]):
        known = _read(name)
        is_plausible = known.get("state") == state and bool(known.get("is_plausible"))
        _write(name, {"state": state, "checkpoint": asdict(checkpoint), "is_plausible": is_plausible})
    return checkpoint


def remember_plausible(checkpoint: Checkpoint) -> None:
    """Remember that the checkpoint's model was found to know plain text, if the checkpoint itself is remembered."""
    known = _read(checkpoint.name)
    if known and known.get("state") == _state(checkpoint):
        _write(checkpoint.name, known | {"is_plausible": True})


def remembered_checkpoint(
    name: str, *, trust_remote_code: bool = False, must_be_plausible: bool = False
) -> Checkpoint | None:
    """What the name was resolved to before; None where that is not known, or a file or a library has changed since.

    must_be_plausible: None, too, unless the model was found to know plain text.
    """
    known = {} if trust_remote_code else _read(name)
    if must_be_plausible and not known.get("is_plausible"):
        return None
    try:
        checkpoint = Checkpoint(**known["checkpoint"])
        return checkpoint if checkpoint.name == name and known["state"] == _state(checkpoint) else None
    except (KeyError, TypeError):
        return None


def _state(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """All that the checkpoint depends on, as JSON has it; None where that cannot be told.

    That is so for a model on the hub, whose name may come to mean another revision, for code of the model's own, and
    for this package in a zip.
    """
    code = sorted(Path(__file__).parent.glob("*.py"))
    if not code or checkpoint.trust_remote_code or checkpoint.revision is not None:
        return None
    files = _stamps([checkpoint.name, checkpoint.path])
    try:
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in code)).hexdigest()
        libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    except (OSError, ImportError):
        return None
    return files and {"code": digest, "libraries": libraries, "files": files}


def _stamps(places: list[str]) -> Any:
    """Of each file in the folders: path, size, number on its disk, and the last of its times, in nanoseconds.

    None where a place is missing or cannot be read, and for a folder behind a link, into which nobody looks here.
    """
    try:
        roots = [Path(place).expanduser() for place in places]
        files = sorted({file for root in roots for file in (root, *root.rglob("*"))})
        if any(file.is_symlink() and file.is_dir() for file in files if file not in roots):
            return None
        return [_stamp(file) for file in files]
    except (OSError, RuntimeError):
        return None


def _stamp(file: Path) -> list[Any]:
    # What a broken link leads to is no part of a model that could be read; the link itself may be mended.
    there = file.lstat() if file.is_symlink() and not file.exists() else file.stat()
    return [str(file.absolute()), there.st_size, there.st_ino, max(there.st_mtime_ns, there.st_ctime_ns)]


def _newest(state: dict[str, Any]) -> int:
    return max(int(newest) for *_, newest in state["files"])


def _entry(name: str) -> Path:
    place = os.path.abspath(os.path.expanduser(name))
    return cache_folder() / "checkpoints" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"


def _read(name: str) -> dict[str, Any]:
    """The cache's entry of the name; empty where there is none that can be read."""
    try:
        known = json.loads(_entry(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(name: str, content: Any) -> None:
    """Write the cache's entry of the name, or nothing: without it, the next run resolves the name again."""
    # No folder of one's own is a RuntimeError.
    with contextlib.suppress(OSError, RuntimeError):
        entry = _entry(name)
        entry.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=entry.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            os.replace(scratch, entry)
        except OSError:
            os.unlink(scratch)
            raise
