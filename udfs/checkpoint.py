"""A model and its tokenizer, named by hub id, folder or GGUF file, and pinned to the bytes that were found.

The driver resolves a name into a Checkpoint once, and every worker loads exactly that. Weights are only read from
safetensors, because reading a pickle runs code. A model's own code runs only if the user asks for it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import torch
import transformers
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from transformers import AutoConfig

from udfs.architectures import check_architecture, max_exact_window
from udfs.gguf import converted_gguf
from udfs.known_checkpoints import Checkpoint
from udfs.loading import as_value_error, quiet_transformers, unloadable
from udfs.model_files import check_is_itself, check_is_whole, stored_tensors, weight_files
from udfs.precision import multiply_in_full
from udfs.tokenizer import TextTokenizer, read_tokenizer, warn_of_lost_text, warn_of_unspellable
from udfs.weights import check_tensors, is_quantised, load_whole, without_memory

HUB_ID = re.compile(r"^\w[\w.-]*(/\w[\w.-]*)?$")
CAUSAL_SUFFIXES = ("ForCausalLM", "LMHeadModel")


def resolve_checkpoint(name: str, *, trust_remote_code: bool = False) -> Checkpoint:
    """The checkpoint behind a hub id with optional @revision, a folder, or a .gguf file.

    Loads the configuration and the tokenizer, not the weights. Raises ValueError when there is no such model, when it
    has no safetensors, is not causal, or has attention that cannot be masked exactly.
    """
    path, revision, weights_hash, files = _locate(name)
    with quiet_transformers(), as_value_error(name):
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
    text_config = config.get_text_config()
    _check_causal(name, config)
    check_architecture(text_config)
    if files:
        _check_weights(name, config, files, own_code=trust_remote_code)
        weights_hash = weights_hash or _sha256([Path(path) / "config.json", *files])
    if weights_hash is None:
        revision = weights_hash = config._commit_hash
    if weights_hash is None:
        raise ValueError(
            f"the revision of model {name!r} cannot be determined; download it and name its folder instead"
        )
    label = Path(name).stem if name.endswith(".gguf") else Path(path).name if Path(path).is_dir() else path
    checkpoint = Checkpoint(
        name=name,
        path=path,
        revision=revision,
        trust_remote_code=trust_remote_code,
        model_id=f"{label}@{weights_hash[:12]}",
        weights_hash=weights_hash,
        tokenizer_hash="",
        model_type=text_config.model_type,
        num_layers=text_config.num_hidden_layers,
        num_heads=text_config.num_attention_heads,
        max_positions=max_exact_window(text_config),
        vocab_size=text_config.vocab_size,
    )
    return _with_tokenizer_hash(checkpoint)


def load_tokenizer(checkpoint: Checkpoint) -> TextTokenizer:
    """The checkpoint's tokenizer, exactly as in tokenizer.json, except that control words in a text are plain text.

    Raises ValueError where it is not the tokenizer of the resolved checkpoint: the folder may have other content on
    this machine, or may have changed since.
    """
    tokenizer = read_tokenizer(checkpoint.name, checkpoint.path, checkpoint.revision)
    if tokenizer.fingerprint != checkpoint.tokenizer_hash:
        raise ValueError(
            f"the tokenizer of model {checkpoint.name!r} is another here than where this run began, or was changed "
            "since: use one folder that all machines share, and leave it alone while a run goes on"
        )
    return tokenizer


def load_model(checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> Any:
    """The checkpoint's causal language model in eval mode, without gradients, on device in dtype.

    On a CPU, weights that are stored in dtype are mapped from their file, and all processes of a machine share their
    memory. Other weights are converted by each process for itself.

    Also calls multiply_in_full, which changes how this process multiplies from then on.
    """
    multiply_in_full()
    model = load_whole(
        checkpoint.name,
        pretrained_model_name_or_path=checkpoint.path,
        revision=checkpoint.revision,
        trust_remote_code=checkpoint.trust_remote_code,
        use_safetensors=True,
        dtype=dtype,
    )
    if not is_quantised(model.config):
        files = weight_files(checkpoint.name, checkpoint.path, checkpoint.revision)
        check_tensors(checkpoint.name, model, stored_tensors(checkpoint.name, files))
    return model.eval().requires_grad_(False).to(device)


def num_parameters(checkpoint: Checkpoint) -> int | None:
    """How many weights the checkpoint's model has, found by building it from its configuration without memory.

    None where that is not possible: the model brings code of its own, which is not run for this, or cannot be built so.
    """
    if checkpoint.trust_remote_code:
        return None
    try:
        with quiet_transformers(), as_value_error(checkpoint.name):
            config = AutoConfig.from_pretrained(checkpoint.path, revision=checkpoint.revision)
        return int(without_memory(checkpoint.name, config).num_parameters())
    except ValueError:
        return None


def _locate(name: str) -> tuple[str, str | None, str | None, list[Path]]:
    """(what transformers loads, hub revision, weights hash, files with weights).

    The hash is None for a folder, because it is computed from the files later, and for a hub model, whose commit is
    used. A hub model has no files here yet.
    """
    if name.endswith(".gguf"):
        file = Path(name).expanduser()
        if not file.is_file():
            raise ValueError(f"there is no GGUF file {name}; name an existing .gguf file, a model folder or a hub id")
        check_is_itself(name, file)
        digest = _sha256([file])
        path = str(converted_gguf(file, digest))
        return path, None, digest, weight_files(name, path, None)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        check_is_whole(name, folder)
        if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors*")):
            content = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
            raise ValueError(
                f"model folder {name} must hold config.json and *.safetensors, but holds {content}; "
                "save the model with save_pretrained (pickled weights are never loaded)"
            )
        check_is_itself(name, folder / "config.json")
        return str(folder.resolve()), None, None, weight_files(name, str(folder.resolve()), None)
    hub_id, _, revision = name.partition("@")
    if not HUB_ID.match(hub_id):
        raise ValueError(
            f"model {name!r} is neither an existing folder, a .gguf file nor a hub id such as org/name@revision"
        )
    _check_hub_answers(name, hub_id, revision or None)
    return hub_id, revision or None, None, []


def _check_hub_answers(name: str, hub_id: str, revision: str | None) -> None:
    """Raise ValueError at once where neither the cache nor the hub answers; transformers would try for 20 seconds."""
    try:
        if not isinstance(try_to_load_from_cache(hub_id, "config.json", revision=revision), str):
            get_hf_file_metadata(hf_hub_url(hub_id, "config.json", revision=revision))
    except httpx.TransportError as error:
        raise unloadable(name, f"the model hub cannot be reached ({error}).") from error
    except (OSError, ValueError):
        return  # The hub refused, or HF_HUB_OFFLINE is set: for either, transformers has an error message.


def _check_causal(name: str, config: Any) -> None:
    """Raise ValueError unless the configuration belongs to a decoder-only language model."""
    architectures = config.architectures or []
    known = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING or getattr(config, "auto_map", None)
    causal = not architectures or any(a.endswith(CAUSAL_SUFFIXES) for a in architectures)
    if not known or not causal or getattr(config, "is_encoder_decoder", False):
        kind = ", ".join(architectures) or config.model_type
        raise ValueError(
            f"model {name!r} is a {kind}, not a causal language model; name one that predicts the next token"
        )


def _check_weights(name: str, config: Any, files: list[Path], *, own_code: bool) -> None:
    """Raise ValueError, before any weight is read, unless the files hold the configuration's weights and no others."""
    stored = stored_tensors(name, files)
    # A model's own code is not run here, and quantised weights have other names. load_model checks them as far as it
    # can.
    if own_code or is_quantised(config):
        return
    if renamed := getattr(config, "transformers_weights", None):
        raise unloadable(name, f"its config.json has its weights in {renamed}; rename that file to model.safetensors.")
    try:
        model = without_memory(name, config)
    except ValueError:
        return
    check_tensors(name, model, stored)


def _with_tokenizer_hash(checkpoint: Checkpoint) -> Checkpoint:
    tokenizer = read_tokenizer(checkpoint.name, checkpoint.path, checkpoint.revision)
    warn_of_unspellable(checkpoint.name, tokenizer)
    warn_of_lost_text(checkpoint.name, tokenizer)
    return Checkpoint(**{**checkpoint.__dict__, "tokenizer_hash": tokenizer.fingerprint})


def _sha256(files: list[Path]) -> str:
    """SHA-256, in hex, of the files' names and bytes, in order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
