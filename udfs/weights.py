"""Weights from safetensors files: all of the model's, or a ValueError."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForCausalLM

from udfs.loading import as_value_error, quiet_transformers


def load_whole(name: str, **source: Any) -> Any:
    """The model that from_pretrained makes of source; ValueError where it would draw missing weights at random."""
    with quiet_transformers(), as_value_error(name):
        model, loading = AutoModelForCausalLM.from_pretrained(**source, output_loading_info=True)
        missing = sorted(loading["missing_keys"])
        if missing:
            raise ValueError(f"its weights lack {missing[0]} and {len(missing) - 1} other tensors.")
    return model
