"""Half-precision models: what overflows is read again in float32, and the weights are the same bits afterwards."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.udfs.cases import SOME_HEADS, TEXTS, assert_same
from tests.udfs.models import ARCHITECTURES, tiny_model
from udfs.paired import PairedScorer
from udfs.precision import add_in_float32, is_emulated, resolve_dtype, weights_in_float32


def overflowing_at_z(tokenizer: Any) -> Any:
    """A float16 Llama one of whose products overflows at the letter z, and only there."""
    model = tiny_model("llama")
    (zed,) = tokenizer("z")["input_ids"]
    # Only z's state has much in its first place, where a matrix of the first layer looks.
    model.model.embed_tokens.weight[:, 0] = 0
    model.model.embed_tokens.weight[zed, 0] = 1000
    model.model.layers[0].mlp.up_proj.weight[0] = 0
    model.model.layers[0].mlp.up_proj.weight[0, 0] = torch.finfo(torch.float16).max
    model.model.layers[0].self_attn.o_proj.weight[0] = 0
    return model.to(torch.float16)


def test_a_window_that_overflows_in_half_precision_is_scored_in_float32_and_counted(tiny_tokenizer: Any) -> None:
    model = overflowing_at_z(tiny_tokenizer)
    before = copy.deepcopy(model.state_dict())
    texts = ["a horse", "a zebra, azure", "blue"]
    in_full = PairedScorer(copy.deepcopy(model).float(), tiny_tokenizer, SOME_HEADS, window=64).score(texts)
    scorer = PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=64)
    plain = scorer.score([texts[0], texts[2]])
    first, overflown, last = scorer.score(texts)
    assert [score.num_float32_windows for score in (first, overflown, last)] == [0, 1, 0]
    assert overflown.status == "scored"
    assert overflown.base_loss == pytest.approx(in_full[1].base_loss, rel=1e-5)
    assert overflown.masked_loss == pytest.approx(in_full[1].masked_loss, rel=1e-5)
    assert_same([first, last], plain)
    assert first.base_loss == pytest.approx(in_full[0].base_loss, rel=0.02)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_memory_that_float32_lacks_fails_its_windows_and_leaves_the_others_their_batches(tiny_tokenizer: Any) -> None:
    model = overflowing_at_z(tiny_tokenizer)
    scorer = PairedScorer(model, tiny_tokenizer, SOME_HEADS, window=64)
    budget = scorer.max_batch_tokens

    def lack_memory(_module: Any, _args: Any, _kwargs: Any) -> None:
        if model.lm_head.weight.dtype == torch.float32:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    model.model.register_forward_pre_hook(lack_memory, with_kwargs=True)
    first, overflown, other = scorer.score(["a horse", "a zebra, azure", "zz"])
    assert [score.status for score in (first, overflown, other)] == ["scored", "failed", "failed"]
    assert overflown.error_class == "OutOfMemory"
    assert scorer.max_batch_tokens == budget


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_half_precision_model_keeps_what_its_layers_add_to_a_large_state(architecture: str) -> None:
    model = tiny_model(architecture)
    # What the layers add is a hundredth of the state or less, which bfloat16 would round away.
    model.get_input_embeddings().weight.mul_(128)
    model.to(torch.bfloat16)
    token_ids = torch.arange(3, 23)[None]

    def hidden(prepared: Any) -> torch.Tensor:
        return prepared.base_model(input_ids=token_ids, use_cache=False).last_hidden_state.float()

    expected, plain = hidden(copy.deepcopy(model).float()), hidden(model)
    add_in_float32(model)
    assert (hidden(model) - expected).norm() < (plain - expected).norm() / 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_the_same_bits_after_a_while_in_float32(dtype: torch.dtype) -> None:
    model = tiny_model("llama").to(dtype)
    before = copy.deepcopy(model.state_dict())

    def fail_inside() -> None:
        with weights_in_float32(model):
            assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


def test_weights_are_the_same_bits_where_memory_is_too_little_for_all_of_them_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model("llama").to(torch.float16)
    before = copy.deepcopy(model.state_dict())
    widen, num_widened = torch.Tensor.float, 0

    def widen_a_few(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal num_widened
        num_widened += 1
        if num_widened > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return widen(tensor)

    monkeypatch.setattr(torch.Tensor, "float", widen_a_few)
    with pytest.raises(torch.OutOfMemoryError), weights_in_float32(model):
        pass
    assert num_widened == 6
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float16
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_texts_give_the_same_bits_twice(dtype: torch.dtype, tiny_tokenizer: Any) -> None:
    scorer = PairedScorer(tiny_model("llama").to(dtype), tiny_tokenizer, SOME_HEADS, window=32, max_batch_tokens=96)
    assert scorer.score(TEXTS) == scorer.score(TEXTS)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_auto_is_float32_on_a_cpu(name: str, dtype: torch.dtype) -> None:
    assert resolve_dtype(name, "cpu") == dtype


@pytest.mark.parametrize("emulated", [True, False])
def test_a_format_that_the_cpu_only_emulates_is_warned_of(emulated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # A test's machine is of one kind; the other is what this stands for.
    monkeypatch.setattr("udfs.precision.is_emulated", lambda dtype: emulated and dtype == torch.bfloat16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert resolve_dtype("bfloat16", "cpu") == torch.bfloat16
        assert resolve_dtype("float32", "cpu") == torch.float32
        assert resolve_dtype("bfloat16", "cuda:0") == torch.bfloat16
    found = [str(warning.message) for warning in caught]
    assert len(found) == emulated
    assert all("no instructions for bfloat16" in text and "--dtype float32" in text for text in found)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells a processor's flags")
def test_this_cpus_formats_are_those_of_its_flags() -> None:
    assert not is_emulated(torch.float32)
    flags = Path("/proc/cpuinfo").read_text().split()
    if "avx512_bf16" in flags:
        assert not is_emulated(torch.bfloat16)
    elif "avx2" in flags and "avx512f" not in flags and "avx_ne_convert" not in flags:
        assert is_emulated(torch.bfloat16)


@pytest.mark.parametrize("name", ["fp8", "", "int8", "Float32"])
def test_an_unknown_dtype_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"dtype is '{name}'; it must be auto, float32, bfloat16, float16"):
        resolve_dtype(name, "cpu")
