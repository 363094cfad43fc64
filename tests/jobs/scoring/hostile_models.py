"""Models that do something terrible when they read certain texts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.udfs.conftest import byte_level_tokenizer
from tests.udfs.models import tiny_model

MODELING = """
import os, signal
import torch
from transformers import LlamaForCausalLM, LlamaModel

class Hostile(LlamaModel):
    def forward(self, input_ids=None, **kwargs):
        if input_ids is not None and CONDITION:
            ACTION
        return super().forward(input_ids=input_ids, **kwargs)

class HostileForCausalLM(LlamaForCausalLM):
    def __init__(self, config):
        super().__init__(config)
        self.model = Hostile(config)
        self.post_init()
"""


def hostile_model(folder: Path, condition: str, action: str) -> str:
    """A model that takes the action, a statement, at input_ids of this condition; returns its folder."""
    tiny_model("llama").save_pretrained(folder)
    byte_level_tokenizer(bos=False).save_pretrained(folder)
    (folder / "modeling_hostile.py").write_text(MODELING.replace("CONDITION", condition).replace("ACTION", action))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "auto_map": {"AutoModelForCausalLM": "modeling_hostile.HostileForCausalLM"},
        "architectures": ["HostileForCausalLM"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)
