"""What the registered attention function does inside a model: which rows, which heads, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from tests.udfs.models import (
    ARCHITECTURES,
    NUM_HEADS,
    NUM_LAYERS,
    SHAPE,
    SLIDING_WINDOW,
    tiny_model,
    with_random_weights,
)
from tests.udfs.oracle import Oracle, eager_double
from udfs.attention import decoder_layers, heads_by_layer, install_observer, install_paired_mask
from udfs.head_mask import Head

HEADS: list[Head] = [(1, 0), (1, 3), (2, 1)]
TOKEN_IDS = torch.tensor([[(7 * position) % 320 for position in range(3, 3 + 14)], list(range(100, 114))])
SLIDING_LAYERS = {"gemma3": {0, 2}, "mistral": {0, 1, 2}}


def run(model: Any, token_ids: Tensor = TOKEN_IDS) -> Tensor:
    return model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state


def observed(model: Any, heads: list[Head], mode: Any) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
    """The final hidden states of a paired pass, and each layer's values (R, G, T, D) and outputs (R, T, H, D)."""
    layers: dict[int, tuple[Tensor, Tensor]] = {}

    def observe(layer: int, _q: Tensor, _k: Tensor, value: Tensor, _visible: Tensor | None, output: Tensor) -> None:
        layers[layer] = value.clone(), output.clone()

    remove = install_paired_mask(model, heads, mode, observe)
    hidden = run(model)
    remove()
    return hidden, layers


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_uniform_head_gives_the_plain_mean_of_all_visible_values(architecture: str) -> None:
    _, layers = observed(tiny_model(architecture), HEADS, "uniform")
    for layer, head in HEADS:
        value, output = layers[layer]
        group = head * value.shape[1] // NUM_HEADS
        for row in (2, 3):
            for position in range(14):
                oldest = max(0, position - SLIDING_WINDOW + 1) if layer in SLIDING_LAYERS.get(architecture, ()) else 0
                mean = value[row, group, oldest : position + 1].double().mean(0)
                assert torch.allclose(output[row, position, head].double(), mean, atol=1e-5), (layer, head, position)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_zeroed_head_gives_nothing(architecture: str) -> None:
    _, layers = observed(tiny_model(architecture), HEADS, "zero")
    for layer, head in HEADS:
        assert (layers[layer][1][2:, :, head] == 0).all()
        assert (layers[layer][1][:2, :, head] != 0).all()


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_other_heads_of_a_masked_layer_are_left_as_they_were(architecture: str, mode: Any) -> None:
    """In the first masked layer both halves have the same input, so what is not masked must not differ at all."""
    _, layers = observed(tiny_model(architecture), HEADS, mode)
    output = layers[1][1]
    assert torch.equal(output[:2, :, [1, 2]], output[2:, :, [1, 2]])
    for head in (0, 3):
        assert not torch.allclose(output[:2, :, head], output[2:, :, head], atol=1e-2)


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_base_rows_are_what_the_model_computes_by_itself(architecture: str, mode: Any) -> None:
    model = tiny_model(architecture)
    expected = run(model)
    hidden, _ = observed(model, HEADS, mode)
    assert hidden.shape == (4, *expected.shape[1:])
    assert torch.allclose(hidden[:2], expected, atol=1e-5)
    assert not torch.allclose(hidden[2:], expected, atol=1e-2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_below_the_first_masked_one_run_once_for_both(architecture: str) -> None:
    model = tiny_model(architecture)
    for first_masked_layer in range(NUM_LAYERS):
        _, layers = observed(model, [(first_masked_layer, 0)], "uniform")
        rows = [layers[layer][1].shape[0] for layer in range(NUM_LAYERS)]
        assert rows == [2] * first_masked_layer + [4] * (NUM_LAYERS - first_masked_layer)


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_token_sees_a_later_one_masked_or_not(architecture: str, mode: Any) -> None:
    model = tiny_model(architecture)
    remove = install_paired_mask(model, [(layer, head) for layer in range(NUM_LAYERS) for head in (0, 2)], mode)
    before = run(model)
    changed = TOKEN_IDS.clone()
    changed[:, 9:] = 5
    after = run(model, changed)
    remove()
    assert torch.allclose(before[:, :9], after[:, :9], atol=1e-5)
    assert not torch.allclose(before[:, 9:], after[:, 9:], atol=1e-2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_random_weights_attend_far_from_uniformly(architecture: str) -> None:
    """Without this the tests of the mask would prove little."""
    attentions = eager_double(tiny_model(architecture))(TOKEN_IDS, output_attentions=True).attentions
    for attention in attentions:
        assert attention[:, :, 5:].max(-1).values.mean() > 0.4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_oracles_weights_make_the_masked_heads_attend_uniformly_and_no_others(
    architecture: str, tiny_tokenizer: Any
) -> None:
    oracle = Oracle(tiny_model(architecture), tiny_tokenizer, [(0, 1)], "uniform", 16)
    base = oracle.base(TOKEN_IDS, output_attentions=True).attentions[0]
    masked = oracle.masked(TOKEN_IDS, output_attentions=True).attentions[0]
    visible = base[0, 0] > 0
    assert torch.allclose(masked[:, 1], (visible / visible.sum(-1, keepdim=True)).to(masked.dtype), atol=1e-6)
    others = [0, 2, 3]
    assert torch.equal(masked[:, others], base[:, others])


def test_removing_the_mask_gives_the_model_back(llama: Any) -> None:
    expected = run(llama)
    remove = install_paired_mask(llama, HEADS, "uniform")
    assert run(llama).shape[0] == 4
    remove()
    assert torch.equal(run(llama), expected)
    assert llama.config._attn_implementation == "sdpa"


def test_the_masks_of_two_models_do_not_mix() -> None:
    first, second = tiny_model("llama", seed=1), tiny_model("llama", seed=2)
    (alone, _), (other_alone, _) = observed(first, [(0, 0)], "uniform"), observed(second, [(2, 3)], "zero")
    remove_first = install_paired_mask(first, [(0, 0)], "uniform")
    remove_second = install_paired_mask(second, [(2, 3)], "zero")
    assert torch.equal(run(first), alone)
    remove_first()
    assert torch.equal(run(second), other_alone)
    remove_second()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_observer_sees_every_layer_and_changes_nothing(architecture: str) -> None:
    model = tiny_model(architecture)
    expected = run(model)
    shapes: dict[int, tuple[tuple[int, ...], ...]] = {}

    def observe(layer: int, q: Tensor, k: Tensor, v: Tensor, _visible: Tensor | None, output: Tensor) -> None:
        shapes[layer] = tuple(q.shape), tuple(k.shape), tuple(v.shape), tuple(output.shape)

    remove = install_observer(model, observe)
    assert torch.equal(run(model), expected)
    remove()
    groups = getattr(model.config, "num_key_value_heads", NUM_HEADS)
    key = value = (2, groups, 14, 8)
    assert shapes == dict.fromkeys(range(NUM_LAYERS), ((2, 4, 14, 8), key, value, (2, 14, 4, 8)))
    assert torch.equal(run(model), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_decoder_layers_are_found_in_order(architecture: str) -> None:
    model = tiny_model(architecture)
    found = [
        next(module.layer_idx for module in layer.modules() if hasattr(module, "layer_idx"))
        for layer in decoder_layers(model)
    ]
    assert found == list(range(NUM_LAYERS))


@pytest.mark.parametrize(
    "install", [install_observer, lambda model, see: install_paired_mask(model, HEADS, "zero", see)]
)
def test_attention_with_sinks_is_refused_where_it_happens_too(install: Callable[..., Any]) -> None:
    """The list of refused names may lack a model; its attention cannot hide what else it adds to the scores."""
    config = transformers.GptOssConfig(num_local_experts=2, num_key_value_heads=2, head_dim=8, **SHAPE)
    model = with_random_weights(transformers.GptOssForCausalLM(config), seed=0)
    remove = install(model, lambda *_: None)
    with pytest.raises(ValueError, match="'gpt_oss' is refused: its attention has learned sinks"):
        run(model)
    remove()


def test_an_unknown_mode_is_refused(llama: Any) -> None:
    with pytest.raises(ValueError, match="mask mode is 'off'; it must be one of uniform, zero"):
        install_paired_mask(llama, HEADS, "off")  # type: ignore[arg-type]
    assert llama.config._attn_implementation == "sdpa"


def test_heads_are_grouped_by_layer_each_once_in_order() -> None:
    assert heads_by_layer([(2, 3), (0, 1), (2, 0), (2, 3)]) == {0: [1], 2: [0, 3]}
    assert heads_by_layer([]) == {}
