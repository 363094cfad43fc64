"""Transformers without progress bars and warnings, and with one clear ValueError for a model that cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import transformers
from safetensors import SafetensorError


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress transformers' progress bars and warnings, so that they do not fill a job's log."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()


@contextlib.contextmanager
def as_value_error(name: str) -> Iterator[None]:
    """Turn the many errors of transformers and the hub for a model that cannot be read into one clear ValueError."""
    try:
        yield
    except (OSError, ImportError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise unloadable(name, reason) from error


def unloadable(name: str, reason: str) -> ValueError:
    """The error for a model that cannot be loaded, with the ways to name one."""
    return ValueError(
        f"model {name!r} cannot be loaded: {reason} Name a hub id (org/name@revision) that this machine can "
        "reach, a folder with config.json and *.safetensors, or a .gguf file."
    )
