"""Weights: all that the model has, and none that it would not use. Noticed before a worker starts, from headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import udfs.checkpoint
from tests.udfs.conftest import byte_level_tokenizer
from tests.udfs.models import ARCHITECTURES, CONFIGS, GROUPED, NO_TOKENS, tiny_model, with_random_weights
from udfs.checkpoint import load_model, resolve_checkpoint
from udfs.weights import load_whole


def save_model(model: Any, folder: Path, **sizes: Any) -> str:
    model.save_pretrained(folder, **sizes)
    byte_level_tokenizer(bos=False).save_pretrained(folder)
    return str(folder)


def change(folder: str | Path, **tensors: torch.Tensor | None) -> None:
    """Put tensors into the folder's weights; those that are None are taken out."""
    file = Path(folder) / "model.safetensors"
    weights = {**load_file(file), **tensors}
    save_file({name: w.contiguous() for name, w in weights.items() if w is not None}, file, metadata={"format": "pt"})


def configure(folder: str | Path, **settings: Any) -> None:
    file = Path(folder) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.fixture(params=["before workers start", "when it is loaded"])
def resolve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Resolves a folder, or resolves without a look at its weights and loads it: each must notice by itself."""
    if request.param == "before workers start":
        return resolve_checkpoint
    monkeypatch.setattr(udfs.checkpoint, "_check_weights", lambda *_, **__: None)
    return lambda folder: load_model(resolve_checkpoint(folder), torch.float32, "cpu")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_loads_with_exactly_its_weights(architecture: str, tmp_path: Path) -> None:
    expected = tiny_model(architecture)
    model = load_model(resolve_checkpoint(save_model(expected, tmp_path)), torch.float32, "cpu")
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


MIXTURES = {
    "mixtral": transformers.MixtralConfig(**GROUPED, **NO_TOKENS, num_local_experts=3),
    "qwen3_moe": transformers.Qwen3MoeConfig(
        **GROUPED, **NO_TOKENS, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=16, head_dim=8
    ),
    "olmoe": transformers.OlmoeConfig(**GROUPED, **NO_TOKENS, num_experts=3, num_experts_per_tok=2),
}


@pytest.mark.parametrize("architecture", MIXTURES)
def test_experts_that_transformers_puts_together_count_as_used(architecture: str, tmp_path: Path) -> None:
    expected = with_random_weights(transformers.AutoModelForCausalLM.from_config(MIXTURES[architecture]), seed=0)
    folder = save_model(expected, tmp_path)
    assert any(".experts.2." in name for name in load_file(tmp_path / "model.safetensors"))
    model = load_model(resolve_checkpoint(folder), torch.float32, "cpu")
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


@pytest.mark.parametrize("architecture", MIXTURES)
def test_experts_of_a_layer_that_the_configuration_lacks_are_refused(
    architecture: str, resolve: Any, tmp_path: Path
) -> None:
    expected = transformers.AutoModelForCausalLM.from_config(MIXTURES[architecture])
    folder = save_model(expected, tmp_path)
    configure(folder, num_hidden_layers=2, layer_types=None)
    with pytest.raises(ValueError, match=r"its weights hold model\.layers\.2\..* unexpected"):
        resolve(folder)


UNUSED = {
    "a bias that the configuration switches off": {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)},
    "a head's bias": {"lm_head.bias": torch.ones(320)},
    "another head": {"v_head.summary.weight": torch.ones(1, 32)},
    "a norm that another architecture has": {"model.layers.1.self_attn.q_norm.weight": torch.ones(8)},
    "a quantisation's scale": {"model.layers.1.self_attn.q_proj.weight_scale": torch.ones(1)},
    "a mask's name in another architecture": {"model.layers.1.attn.bias": torch.ones(32)},
    "layers for more tokens, which no setting names": {"mtp.layers.0.weight": torch.ones(3)},
}


@pytest.mark.parametrize("what", UNUSED)
def test_weights_that_the_model_does_not_use_are_refused_by_name(what: str, resolve: Any, folder: Path) -> None:
    change(folder, **UNUSED[what])
    (name,) = UNUSED[what]
    with pytest.raises(ValueError, match=f"its weights hold {name} and 0 other tensors, which are unexpected"):
        resolve(str(folder))


def test_what_transformers_itself_reports_is_enough_to_refuse(folder: Path) -> None:
    # All that is known of quantised weights and of those of a GGUF file.
    change(folder, **{"lm_head.bias": torch.ones(320)})
    with pytest.raises(ValueError, match=r"its weights hold lm_head.bias and 0 other tensors"):
        load_whole("tiny", pretrained_model_name_or_path=str(folder))


def test_all_of_many_are_counted_and_the_first_is_named(resolve: Any, tmp_path: Path) -> None:
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**GROUPED, **NO_TOKENS, attention_bias=True))
    folder = save_model(model, tmp_path)
    configure(folder, attention_bias=False)
    with pytest.raises(ValueError, match=r"hold model.layers.0.self_attn.k_proj.bias and 11 other tensors"):
        resolve(folder)


def test_layers_beyond_the_configurations_are_refused(resolve: Any, folder: Path) -> None:
    configure(folder, num_hidden_layers=2)
    with pytest.raises(ValueError, match=r"its weights hold model\.layers\.2\.input_layernorm\.weight and 8 other"):
        resolve(str(folder))


def test_fewer_layers_than_the_configurations_are_refused(resolve: Any, folder: Path) -> None:
    configure(folder, num_hidden_layers=4)
    with pytest.raises(ValueError, match=r"its weights lack model\.layers\.3\.input_layernorm\.weight and 8 other"):
        resolve(str(folder))


def test_another_shape_is_refused_before_workers_start(folder: Path) -> None:
    configure(folder, intermediate_size=50)
    with pytest.raises(
        ValueError, match=r"mlp.\w+_proj.weight has the shape \[\d+, \d+\], where its configuration asks"
    ):
        resolve_checkpoint(str(folder))


def test_a_tensor_under_two_names_is_refused(resolve: Any, folder: Path) -> None:
    change(folder, **{"norm.weight": torch.ones(32)})
    with pytest.raises(ValueError, match=r"hold model.norm.weight twice, as model.norm.weight and norm.weight"):
        resolve(str(folder))


def test_what_a_class_hides_is_noticed_all_the_same(resolve: Any, tmp_path: Path) -> None:
    # GPT-2's class drops all that contains "attn.bias" without a word.
    folder = save_model(tiny_model("gpt2"), tmp_path)
    change(folder, **{"transformer.h.0.c_attn.bias": torch.ones(3)})
    with pytest.raises(ValueError, match=r"hold transformer.h.0.c_attn.bias and 0 other"):
        resolve(folder)


DEEP = {
    **{**GROUPED, **NO_TOKENS, "num_hidden_layers": 62, "num_key_value_heads": 4, "hidden_size": 8},
    **{"kv_lora_rank": 4, "q_lora_rank": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4},
    **{"n_routed_experts": 2, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 1, "first_k_dense_replace": 62},
    **{"intermediate_size": 8, "moe_intermediate_size": 8},
}


def test_a_layer_for_tokens_beyond_the_next_may_lie_beside_where_the_configuration_has_it(
    resolve: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config(**DEEP))
    folder = save_model(model, tmp_path)
    configure(folder, num_hidden_layers=61, num_nextn_predict_layers=1)
    resolve(folder)
    # transformers hides layer 61 of this class; without the setting, it is a layer of the model that was cut off.
    configure(folder, num_hidden_layers=61, num_nextn_predict_layers=0)
    with pytest.raises(ValueError, match=r"its weights hold model\.layers\.61\."):
        resolve(folder)


HARMLESS = {
    "llama": {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)},
    "gpt_neox": {
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
        "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 128, 128, dtype=torch.bool),
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
    },
    "gpt2": {
        "transformer.h.1.attn.bias": torch.ones(1, 1, 128, 128),
        "transformer.h.1.attn.masked_bias": torch.tensor(-1e4),
    },
}


@pytest.mark.parametrize("architecture", HARMLESS)
def test_what_old_checkpoints_hold_beside_their_weights_is_known_by_name(
    architecture: str, resolve: Any, tmp_path: Path
) -> None:
    folder = save_model(tiny_model(architecture), tmp_path)
    change(folder, **HARMLESS[architecture])
    resolve(folder)


def test_gpt2_as_first_published_without_the_models_prefix_loads(tmp_path: Path) -> None:
    expected = tiny_model("gpt2")
    folder = save_model(expected, tmp_path)
    file = tmp_path / "model.safetensors"
    weights = {name.removeprefix("transformer."): weight for name, weight in load_file(file).items()}
    weights |= {"h.0.attn.bias": torch.ones(1, 1, 128, 128)}
    save_file(weights, file, metadata={"format": "pt"})
    model = load_model(resolve_checkpoint(folder), torch.float32, "cpu")
    assert torch.equal(model.transformer.h[2].mlp.c_fc.weight, expected.transformer.h[2].mlp.c_fc.weight)


def tied(folder: Path) -> torch.Tensor:
    """A Llama whose head is its embedding, in the folder; that embedding."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**GROUPED, **NO_TOKENS, tie_word_embeddings=True))
    save_model(model, folder)
    embedding: torch.Tensor = model.model.embed_tokens.weight.detach()
    return embedding


def test_a_head_that_is_the_embedding_may_be_stored_as_well_or_alone(resolve: Any, tmp_path: Path) -> None:
    embedding = tied(tmp_path)
    resolve(str(tmp_path))
    change(tmp_path, **{"lm_head.weight": embedding.clone()})
    resolve(str(tmp_path))
    change(tmp_path, **{"model.embed_tokens.weight": None})
    resolve(str(tmp_path))
    change(tmp_path, **{"lm_head.weight": None})
    with pytest.raises(ValueError, match=r"its weights lack (lm_head|model.embed_tokens).weight"):
        resolve(str(tmp_path))


def test_another_head_than_the_embedding_it_is_tied_to_is_refused(resolve: Any, tmp_path: Path) -> None:
    other = tied(tmp_path).clone()
    other[7, 3] += 1
    change(tmp_path, **{"lm_head.weight": other})
    with pytest.raises(ValueError, match=r"ties lm_head.weight to model.embed_tokens.weight .* they differ"):
        resolve(str(tmp_path))


def test_a_models_own_code_is_checked_when_it_is_loaded(folder: Path) -> None:
    from tests.jobs.scoring.hostile_models import hostile_model

    path = hostile_model(folder, "False", "pass")
    load_model(resolve_checkpoint(path, trust_remote_code=True), torch.float32, "cpu")
    change(path, **{"model.layers.0.self_attn.q_proj.bias": torch.ones(32)})
    with pytest.raises(ValueError, match=r"q_proj.bias and 0 other tensors, which are unexpected"):
        load_model(resolve_checkpoint(path, trust_remote_code=True), torch.float32, "cpu")


def test_shards_are_checked_as_one(resolve: Any, tmp_path: Path) -> None:
    folder = save_model(tiny_model("llama"), tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    resolve(folder)
    last = max(tmp_path.glob("model-*.safetensors"))
    weights = load_file(last)
    save_file({**weights, "model.extra": torch.ones(1)}, last, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"hold model.extra and 0 other"):
        resolve(folder)
    save_file(dict(list(weights.items())[1:]), last, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"its weights lack {next(iter(weights))}"):
        resolve(folder)


def test_every_tiny_model_here_has_a_type_of_its_own() -> None:
    assert {CONFIGS[name]().model_type for name in HARMLESS} == set(HARMLESS)
