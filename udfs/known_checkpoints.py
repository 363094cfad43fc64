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
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "attention-influence"
    return Path(os.environ.get("ATTENTION_INFLUENCE_CACHE", default))


def resolve_and_remember(name: str, *, trust_remote_code: bool = False) -> Checkpoint:
    """resolve_checkpoint; what it returns can be found by remembered_checkpoint from then on."""
    from udfs.checkpoint import resolve_checkpoint

    started = time.time_ns()
    checkpoint = resolve_checkpoint(name, trust_remote_code=trust_remote_code)
    state = _state(checkpoint)
    if state is not None and max(newest for *_, newest in state["files"]) < started - SETTLED_NS:
        # Without it, the next run resolves the name again.
        with contextlib.suppress(OSError):
            _write(_entry(name), {"state": state, "checkpoint": asdict(checkpoint)})
    return checkpoint


def remembered_checkpoint(name: str, *, trust_remote_code: bool = False) -> Checkpoint | None:
    """What the name was resolved to before; None where that is not known, or a file or a library has changed since."""
    if trust_remote_code:
        return None
    try:
        known = json.loads(_entry(name).read_text(encoding="utf-8"))
        checkpoint = Checkpoint(**known["checkpoint"])
        return checkpoint if checkpoint.name == name and known["state"] == _state(checkpoint) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _entry(name: str) -> Path:
    place = os.path.abspath(os.path.expanduser(name))
    return cache_folder() / "checkpoints" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"


def _state(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """All that the checkpoint depends on, as JSON has it; None where that cannot be told.

    That is so for a model on the hub, whose name may come to mean another revision, for code of the model's own, and
    for this package in a zip.
    """
    code = sorted(Path(__file__).parent.glob("*.py"))
    places = [Path(place).expanduser() for place in (checkpoint.name, checkpoint.path)]
    if not code or checkpoint.trust_remote_code or not all(place.exists() for place in places):
        return None
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in code)).hexdigest()
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    files = sorted({file for place in places for file in (place, *place.rglob("*"))})
    return {"code": digest, "libraries": libraries, "files": [_stamp(file) for file in files]}


def _stamp(file: Path) -> list[Any]:
    """The file's path, size, number on its disk, and the last of its times in nanoseconds since 1970."""
    there = file.stat()
    return [str(file.absolute()), there.st_size, there.st_ino, max(there.st_mtime_ns, there.st_ctime_ns)]


def _write(entry: Path, content: Any) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=entry.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(content, stream)
    os.replace(scratch, entry)
