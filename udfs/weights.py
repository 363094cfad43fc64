"""Weights from safetensors files: exactly those of the model, or a ValueError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from udfs.loading import as_value_error, quiet_transformers, unloadable
from udfs.model_files import StoredTensor

# What a file may hold besides the model's weights, by the model's type ("" for any). Everything else that the model
# does not use was part of the trained model; without it, another model would do the scoring.
HARMLESS = {
    # Rotary frequencies, which follow from the configuration.
    "": r"(^|\.)rotary_emb\.((original_)?inv_freq|cos_cached|sin_cached)$|(^|\.)position_ids$",
    # Causal masks of a fixed size, and the number that is written at masked positions.
    "gpt2": r"(^|\.)h\.\d+\.attn\.(masked_)?bias$",
    "gpt_bigcode": r"(^|\.)h\.\d+\.attn\.(masked_)?bias$",
    "gptj": r"(^|\.)h\.\d+\.attn\.(masked_)?bias$",
    "gpt_neo": r"(^|\.)h\.\d+\.attn\.attention\.(masked_)?bias$",
    "codegen": r"(^|\.)h\.\d+\.attn\.causal_mask$",
    # The version of the format.
    "opt": r"(^|\.)decoder\.version$",
    "gpt_neox": r"(^|\.)layers\.\d+\.attention\.(masked_)?bias$",
}
# Layers that predict tokens beyond the next one. The prediction of the next token does not depend on them.
MULTI_TOKEN_PREDICTION = re.compile(r"(^|\.)mtp(_layers)?\.")


def load_whole(name: str, **source: Any) -> Any:
    """The model that from_pretrained loads with the arguments in source.

    Raises ValueError where it would draw missing weights at random, or leave weights of the file unused.
    """
    with quiet_transformers(), as_value_error(name):
        model, loading = AutoModelForCausalLM.from_pretrained(**source, output_loading_info=True)
    _refuse_missing(name, loading["missing_keys"])
    _refuse_unused(name, model, loading["unexpected_keys"])
    return model


def without_memory(name: str, config: Any) -> Any:
    """The model of this configuration, without memory for weights; ValueError where it cannot be built so."""
    with quiet_transformers(), as_value_error(name), torch.device("meta"):
        # In float32, because some models cannot be built in the number format of their configuration.
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def is_quantised(config: Any) -> bool:
    """Whether the weights are stored in a quantised format, whose tensors have other names."""
    return getattr(config, "quantization_config", None) is not None


def check_tensors(name: str, model: Any, stored: Mapping[str, StoredTensor]) -> None:
    """Raise ValueError unless the model uses every stored tensor, and has none that is not stored.

    model may be without memory. The names are compared here because transformers does not report all tensors that it
    skips: a class may hide superfluous tensors of the checkpoints that it was written for.
    """
    state = model.state_dict()
    mapping = get_model_conversion_mapping(model)
    used: dict[str, str] = {}
    unused, all_by_name = [], True
    for tensor, there in stored.items():
        target, converted = _target(tensor, mapping, prefix=model.base_model_prefix, state=state)
        if target not in state:
            unused.append(tensor)
        elif converted:
            all_by_name = False
        elif target in used:
            raise unloadable(name, f"its weights hold {target} twice, as {used[target]} and {tensor}.")
        elif there.shape != tuple(state[target].shape):
            shapes = f"{list(there.shape)}, where its configuration asks for {list(state[target].shape)}"
            raise unloadable(name, f"its {tensor} has the shape {shapes}.")
        else:
            used[target] = tensor
    _refuse_unused(name, model, unused)
    # Ties according to the configuration; a loaded model is not tied where its file has other weights.
    pairs = list(model.get_expanded_tied_weights_keys(all_submodels=True).items())
    _check_tied(name, pairs, stored=stored, used=used)
    if all_by_name:
        tied = {key for pair in pairs for key in pair if set(pair) & set(used)}
        _refuse_missing(name, {key for key, _ in model.named_parameters()} - set(used) - tied)


def _target(tensor: str, mapping: list[Any], prefix: str, state: Mapping[str, Any]) -> tuple[str, bool]:
    """(the model's name for a file's tensor, whether it is combined with others), by the rules of transformers."""
    renamings = [step for step in mapping if isinstance(step, WeightRenaming)]
    converters = [step for step in mapping if isinstance(step, WeightConverter)]
    target, pattern = rename_source_key(tensor, renamings, converters, prefix, state)
    if target not in state and tensor in state:
        target, pattern = rename_source_key(tensor, [], [], prefix, state)
    return target, pattern is not None


def _refuse_missing(name: str, missing: set[str]) -> None:
    if missing:
        raise unloadable(name, f"its weights lack {min(missing)} and {len(missing) - 1} other tensors.")


def _refuse_unused(name: str, model: Any, tensors: list[str] | set[str]) -> None:
    config = model.config.get_text_config()
    unused = sorted(tensor for tensor in tensors if not _is_harmless(tensor, config, model))
    if unused:
        raise unloadable(
            name,
            f"its weights hold {unused[0]} and {len(unused) - 1} other tensors, which are unexpected: the model that "
            "its config.json describes does not use them, so it is another model than the one that was trained; "
            "correct config.json.",
        )


def _is_harmless(tensor: str, config: Any, model: Any) -> bool:
    if any(re.search(HARMLESS[kind], tensor) for kind in ("", config.model_type) if kind in HARMLESS):
        return True
    num_predictors = getattr(config, "num_nextn_predict_layers", None) or 0
    layer = re.match(r"model\.layers\.(\d+)\.", tensor)
    if layer and 0 <= int(layer[1]) - config.num_hidden_layers < num_predictors:
        return True
    hidden = model._keys_to_ignore_on_load_unexpected or ()
    return bool(MULTI_TOKEN_PREDICTION.search(tensor)) and any(re.search(pattern, tensor) for pattern in hidden)


def _check_tied(
    name: str, pairs: list[tuple[str, str]], stored: Mapping[str, StoredTensor], used: Mapping[str, str]
) -> None:
    """Raise ValueError where the configuration ties two weights, but the file has both and they differ."""
    for pair in pairs:
        if set(pair) <= set(used):
            first, second = (_read(used[key], stored) for key in pair)
            if not torch.equal(first, second):
                raise unloadable(
                    name,
                    f"its config.json ties {pair[0]} to {pair[1]} (tie_word_embeddings), but its weights hold both, "
                    "and they differ: it has another head; correct config.json.",
                )


def _read(tensor: str, stored: Mapping[str, StoredTensor]) -> torch.Tensor:
    with safe_open(stored[tensor].file, framework="pt") as weights:
        content: torch.Tensor = weights.get_tensor(tensor)
    return content
