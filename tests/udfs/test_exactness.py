"""The proof before the work: a model that would not be masked exactly is refused, whatever it calls itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from transformers import LlamaForCausalLM

from tests.udfs.models import ARCHITECTURES, CONFIGS, SHAPE, tiny_model, with_random_weights
from udfs.exactness import verify_exact

HEADS = [(0, 1), (2, 0), (2, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_supported_architecture_passes(architecture: str, mode: Any, dtype: torch.dtype) -> None:
    verify_exact(tiny_model(architecture).to(dtype), HEADS, mode)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_the_model_is_itself_again_afterwards(architecture: str) -> None:
    model = tiny_model(architecture)
    token_ids = torch.arange(20)[None]
    before = model(token_ids).logits
    verify_exact(model, HEADS, "uniform")
    assert torch.equal(model(token_ids).logits, before)
    assert model.config._attn_implementation == "sdpa"


def test_the_model_is_itself_again_after_a_refusal() -> None:
    model = LlamaWithScaledLogits(CONFIGS["llama"]()).eval()
    token_ids = torch.arange(20)[None]
    before = model(token_ids).logits
    with pytest.raises(ValueError, match="refused"):
        verify_exact(model, HEADS, "uniform")
    assert torch.equal(model(token_ids).logits, before)


def test_a_model_that_sees_the_future_is_refused(llama: Any) -> None:
    for layer in llama.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(ValueError, match="'llama' is refused: its tokens see later ones"):
        verify_exact(llama, HEADS, "uniform")


def test_an_encoder_is_refused() -> None:
    config = transformers.BertConfig(**SHAPE)
    model = with_random_weights(transformers.BertLMHeadModel(config), seed=0)
    with pytest.raises(ValueError, match="'bert' is refused: its tokens see later ones"):
        verify_exact(model, HEADS, "uniform")


class LlamaWithScaledLogits(LlamaForCausalLM):
    """As a model whose forward does more to its logits than its configuration says."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits / 2
        return output


def test_logits_that_our_loss_would_compute_otherwise_are_refused() -> None:
    model = with_random_weights(LlamaWithScaledLogits(CONFIGS["llama"]()), seed=0)
    with pytest.raises(ValueError, match="unmasked rows in the paired pass differ from the model by itself"):
        verify_exact(model, HEADS, "uniform")


def test_a_layer_with_attention_of_its_own_is_refused(llama: Any) -> None:
    other = tiny_model("llama", seed=1)
    # A layer that keeps another configuration keeps another attention function with it.
    llama.model.layers[1].self_attn = other.model.layers[1].self_attn
    with pytest.raises(ValueError, match="the attention of 1 of its 3 layers cannot be reached"):
        verify_exact(llama, HEADS, "uniform")


@pytest.mark.parametrize("mode", ["uniform", "zero"])
def test_masked_heads_that_keep_attending_are_refused(mode: Any, llama: Any) -> None:
    """Two layers that give the same index: the mask of layer 2 is never applied."""
    llama.model.layers[2].self_attn.layer_idx = 1
    with pytest.raises(ValueError, match="'llama' is refused"):
        verify_exact(llama, HEADS, mode)


def test_a_dropout_that_stayed_on_is_refused() -> None:
    config = CONFIGS["llama"]()
    config.attention_dropout = 0.5
    model = with_random_weights(transformers.AutoModelForCausalLM.from_config(config), seed=0).train()
    with pytest.raises(ValueError, match="'llama' is refused"):
        verify_exact(model, HEADS, "uniform")


def test_a_model_whose_decoder_cannot_be_distinguished_from_its_lm_head_is_refused() -> None:
    shape = {**SHAPE, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size_mlp": 32, "num_local_experts": 2}
    model = transformers.Llama4ForCausalLM(transformers.Llama4TextConfig(**shape, bos_token_id=None, eos_token_id=None))
    with pytest.raises(ValueError, match="'llama4_text' is refused: the paired pass fails in it"):
        verify_exact(with_random_weights(model, seed=0), HEADS, "uniform")


def test_weights_that_are_not_numbers_are_named_as_the_reason(llama: Any) -> None:
    llama.model.layers[0].mlp.up_proj.weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"llama model's own logits are not finite.*--dtype float32"):
        verify_exact(llama, HEADS, "uniform")
