"""A GGUF file as a folder of safetensors and tokenizer.json, made once per machine and compared with the file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from udfs.gguf_file import open_gguf, read_vocabulary
from udfs.gguf_proof import check_same_logits, check_weights, proof_logits, prove_tokenizer
from udfs.gguf_tokenizer import write_tokenizer
from udfs.known_checkpoints import cache_folder
from udfs.loading import quiet_transformers, unloadable
from udfs.weights import load_whole

# Part of a folder's name, so that folders of earlier versions of the conversion are not used.
CONVERSION = "v2"


def converted_gguf(file: Path, digest: str) -> Path:
    """The folder with the file's weights as float32 safetensors: made once, then memory-mapped by every worker.

    digest: the file's SHA-256, in hex. Raises ValueError, and leaves no folder, for a file whose tokens and losses
    would change by the conversion.
    """
    folder = cache_folder() / f"{file.stem}-{digest[:16]}-{CONVERSION}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        _convert(file, scratch)
        try:
            scratch.rename(folder)
        except OSError:
            # Another process may have been faster. Both folders hold the same, so this one is deleted.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _convert(file: Path, folder: Path) -> None:
    name = str(file)
    try:
        reader = open_gguf(file)
        vocabulary = read_vocabulary(reader)
        write_tokenizer(vocabulary, folder)
    except ValueError as error:
        raise unloadable(name, str(error)) from error
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    quantised = load_whole(name, **source, dtype=torch.float32)
    try:
        check_weights(reader, vocabulary, quantised)
        expected = proof_logits(quantised)
        _save(quantised, folder)
        del quantised
        prove_tokenizer(name, vocabulary, folder)
        saved = load_whole(name, pretrained_model_name_or_path=str(folder), use_safetensors=True, dtype=torch.float32)
        check_same_logits(expected, proof_logits(saved))
    except ValueError as error:
        raise error if str(error).startswith("model ") else unloadable(name, str(error)) from error


def _save(quantised: Any, folder: Path) -> None:
    """Save a new model with the same weights, because transformers refuses to save a model that was read from GGUF."""
    settings = {k: v for k, v in quantised.config.to_dict().items() if k != "quantization_config"}
    with quiet_transformers():
        model = AutoModelForCausalLM.from_config(type(quantised.config)(**settings), dtype=torch.float32)
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(folder)
