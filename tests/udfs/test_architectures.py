"""What is refused by its configuration alone, and how long a window is exact."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from tests.udfs.models import ARCHITECTURES, CONFIGS, SHAPE, tiny_model
from udfs.architectures import check_architecture, max_exact_window
from udfs.paired import PairedScorer

SMALL = {**SHAPE, "num_key_value_heads": 2, "head_dim": 8}
REFUSED = {
    "gpt_oss": (transformers.GptOssConfig(num_local_experts=2, **SMALL), "sinks"),
    "bloom": (transformers.BloomConfig(hidden_size=32, n_layer=3, n_head=4, vocab_size=320), "ALiBi"),
    "mpt": (transformers.MptConfig(d_model=32, n_layers=3, n_heads=4, vocab_size=320), "ALiBi"),
    "gemma2": (transformers.Gemma2Config(**SMALL), "caps its attention scores"),
    "mamba": (transformers.MambaConfig(hidden_size=32, num_hidden_layers=3, vocab_size=320), "recurrent"),
    "qwen3_next": (transformers.Qwen3NextConfig(**SMALL), "linear-attention"),
    "lfm2": (transformers.Lfm2Config(**SHAPE, layer_types=["conv", "full_attention", "conv"]), "recurrent"),
    "falcon": (transformers.FalconConfig(hidden_size=32, num_attention_heads=4, vocab_size=320), "own code"),
    "gptj": (transformers.GPTJConfig(n_embd=32, n_layer=3, n_head=4, vocab_size=320), "own code"),
    "diffllama": (transformers.DiffLlamaConfig(**SMALL), "differences of two softmaxes"),
}


@pytest.mark.parametrize("model_type", REFUSED)
def test_attention_whose_mask_would_not_be_exact_is_refused_by_name_with_the_reason(model_type: str) -> None:
    config, reason = REFUSED[model_type]
    with pytest.raises(ValueError, match=f"'{model_type}' is refused: .*{reason}.*choose a model"):
        check_architecture(config)


@pytest.mark.parametrize("model_type", ["falcon", "gemma2", "mamba", "bloom"])
def test_a_loaded_model_of_a_refused_architecture_is_refused_too(model_type: str, tiny_tokenizer: Any) -> None:
    model = transformers.AutoModelForCausalLM.from_config(REFUSED[model_type][0]).eval()
    with pytest.raises(ValueError, match=f"'{model_type}' is refused"):
        PairedScorer(model, tiny_tokenizer, [(0, 0)], window=16)


def test_falcon_with_alibi_is_refused_for_its_biases() -> None:
    with pytest.raises(ValueError, match="'falcon' is refused: it adds position biases"):
        check_architecture(transformers.FalconConfig(alibi=True))


def test_a_soft_cap_on_attention_is_refused_whatever_the_architecture_is_called() -> None:
    with pytest.raises(ValueError, match="'gemma3_text' is refused: it caps"):
        check_architecture(transformers.Gemma3TextConfig(attn_logit_softcapping=50.0))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_supported_architectures_are_not_refused(architecture: str) -> None:
    check_architecture(CONFIGS[architecture]())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_whole_context_of_a_fixed_rotation_is_exact(architecture: str) -> None:
    assert max_exact_window(CONFIGS[architecture]()) == 128


@pytest.mark.parametrize(
    ("rope", "window"),
    [
        ({"rope_type": "default", "rope_theta": 1e4}, 128),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}, 128),
        ({"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 64}, 128),
        ({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}, 128),
        ({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 64}, 64),
    ],
)
def test_a_rotation_that_moves_with_the_batchs_length_is_exact_only_below_its_original_context(
    rope: dict[str, Any], window: int
) -> None:
    assert max_exact_window(transformers.LlamaConfig(**SHAPE, rope_parameters=rope)) == window


def test_one_kind_of_layer_with_a_moving_rotation_is_enough_to_shorten_the_window() -> None:
    config = CONFIGS["gemma3"]()
    full = {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0, "original_max_position_embeddings": 32}
    config.rope_parameters = {**config.rope_parameters, "full_attention": full}
    assert max_exact_window(config) == 32


def test_phi_3_with_a_long_context_scores_the_same_beside_any_neighbour(tiny_tokenizer: Any) -> None:
    """Beyond 64 positions this model turns every position by other angles."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    config = CONFIGS["phi3"]()
    config.rope_parameters = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "partial_rotary_factor": 1.0,
        "original_max_position_embeddings": 64,
        **factors,
    }
    config.original_max_position_embeddings = 64
    assert max_exact_window(config) == 64
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.load_state_dict(tiny_model("phi3").state_dict())
    with pytest.raises(ValueError, match="beyond the 64 that phi3 reads exactly; use --window 64"):
        PairedScorer(model.eval(), tiny_tokenizer, [(0, 0)], window=65)
    scorer = PairedScorer(model.eval(), tiny_tokenizer, [(0, 0)], window=64)
    (alone,) = scorer.score(["x = 1; y = 2"])
    beside, _ = scorer.score(["x = 1; y = 2", "x + " * 200])
    assert beside.base_loss == pytest.approx(alone.base_loss, rel=1e-5)
