"""Operations of a pass, against the weights that torch counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from udfs.flops import useful_flops

LLAMA = transformers.LlamaConfig(
    hidden_size=32,
    intermediate_size=88,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=50,
)
GPT2 = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=50)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_each_token_needs_two_operations_for_each_weight_of_a_matrix(config: Any) -> None:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    layers = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    weights = sum(parameter.numel() for parameter in layers[0].parameters() if parameter.dim() == 2)
    # Two layers for both losses together, one for each; 10 tokens, each of which sees 5 on average, and 9 predictions.
    a_layer = 2 * weights * 10 + 2 * 10**2 * 32
    assert useful_flops(config, 2, [10]) == 4 * a_layer + 2 * (2 * 32 * 50 * 9)
