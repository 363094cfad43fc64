"""A GGUF file as a folder of safetensors and tokenizer.json, made once a machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from udfs.loading import as_value_error, quiet_transformers
from udfs.weights import load_whole


def cache_folder() -> Path:
    """Where converted models are kept: $ATTENTION_INFLUENCE_CACHE, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "attention-influence"
    return Path(os.environ.get("ATTENTION_INFLUENCE_CACHE", default))


def converted_gguf(file: Path, digest: str) -> Path:
    """The folder with file's weights as float32 safetensors: made once, then memory-mapped by every worker."""
    folder = cache_folder() / f"{file.stem}-{digest[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    quantised = load_whole(str(file), **source, dtype=torch.float32)
    with quiet_transformers(), as_value_error(str(file)):
        tokenizer = AutoTokenizer.from_pretrained(**source)
    # A model read from GGUF refuses to be saved; a fresh one of the same shape does not.
    settings = {k: v for k, v in quantised.config.to_dict().items() if k != "quantization_config"}
    model = AutoModelForCausalLM.from_config(type(quantised.config)(**settings), dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        # Another process may have been faster; both folders hold the same, so the loser's is thrown away.
        with contextlib.suppress(OSError):
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
