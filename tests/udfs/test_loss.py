"""The only label shift, in chunks, against a loop in float64."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.udfs.models import ARCHITECTURES, VOCAB_SIZE, tiny_model
from udfs import loss
from udfs.lm_head import LMHead
from udfs.loss import next_token_losses, row_sums, target_positions


def random_case(
    rows: int, tokens: int, vocab_size: int, *, copies: int = 1, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor, torch.nn.Linear]:
    """(hidden (copies * rows, tokens, 16), input_ids, lengths, output projection), lengths from tokens down to 2."""
    generator = torch.Generator().manual_seed(rows * tokens + vocab_size)
    hidden = torch.randn(copies * rows, tokens, 16, generator=generator).to(dtype)
    input_ids = torch.randint(vocab_size, (rows, tokens), generator=generator)
    lengths = torch.linspace(tokens, 2, rows).long()
    projection = torch.nn.Linear(16, vocab_size, bias=False).requires_grad_(False)
    projection.weight.copy_(torch.randn(vocab_size, 16, generator=generator))
    return hidden, input_ids, lengths, projection.to(dtype)


def head_of(module: Any, vocab_size: int = 0) -> LMHead:
    """The LM head of a model that is nothing but its output projection."""
    text_config = SimpleNamespace(vocab_size=vocab_size)
    config = SimpleNamespace(get_text_config=lambda: text_config)
    return LMHead(SimpleNamespace(config=config, get_output_embeddings=lambda: module))


def loop_losses(hidden: Tensor, input_ids: Tensor, lengths: Tensor, projection: torch.nn.Linear) -> list[list[float]]:
    """For each row of hidden, the losses of its real targets, all of it in float64."""
    exact = copy.deepcopy(projection).double()
    result = []
    for row in range(hidden.shape[0]):
        source = row % input_ids.shape[0]
        result.append(
            [
                -torch.log_softmax(exact(hidden[row, position].double()), -1)[input_ids[source, position + 1]].item()
                for position in range(int(lengths[source]) - 1)
            ]
        )
    return result


@pytest.mark.parametrize(
    ("rows", "tokens", "vocab_size", "copies"),
    [(1, 2, 2, 1), (1, 508, 123, 1), (5, 19, 507, 2), (3, 124, 7, 2), (4, 2, 50, 3)],
)
def test_losses_equal_a_loop_in_float64(rows: int, tokens: int, vocab_size: int, copies: int) -> None:
    hidden, input_ids, lengths, projection = random_case(rows, tokens, vocab_size, copies=copies)
    found = next_token_losses(hidden, input_ids, lengths, head_of(projection))
    assert found.shape == (copies * rows, tokens - 1)
    assert found.dtype == torch.float32
    for row, expected in enumerate(loop_losses(hidden, input_ids, lengths, projection)):
        assert found[row, : len(expected)].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_a_row_predicts_the_next_token_and_no_other() -> None:
    """Hidden states that name token t+1 lose nothing; naming token t, or t+2, loses much."""
    input_ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    lengths = torch.tensor([8])
    for shift, is_right in ((0, False), (1, True), (2, False)):
        hidden = 50 * torch.nn.functional.one_hot(input_ids.roll(-shift, dims=1), 10).float()
        losses = next_token_losses(hidden, input_ids, lengths, head_of(torch.nn.Identity(), 10))
        assert (losses < 1e-3).all() == is_right


def test_losses_of_padding_are_nan_so_that_a_forgotten_mask_shows() -> None:
    hidden, input_ids, lengths, projection = random_case(4, 9, 20, copies=2)
    found = next_token_losses(hidden, input_ids, lengths, head_of(projection))
    for row in range(8):
        num_targets = int(lengths[row % 4]) - 1
        assert found[row, :num_targets].isfinite().all()
        assert found[row, num_targets:].isnan().all()


def test_the_last_position_and_the_padding_reach_no_loss() -> None:
    hidden, input_ids, lengths, projection = random_case(3, 12, 20)
    expected = row_sums(next_token_losses(hidden, input_ids, lengths, head_of(projection)), lengths)
    for row, length in enumerate(lengths.tolist()):
        hidden[row, length - 1 :] = torch.nan
        input_ids[row, length:] = 0
    assert torch.equal(row_sums(next_token_losses(hidden, input_ids, lengths, head_of(projection)), lengths), expected)


class Doubled(torch.nn.Linear):
    """A projection that is more than its weight, as a quantised one is: it can only be called whole."""

    def forward(self, states: Tensor) -> Tensor:
        return 2 * super().forward(states)


@pytest.mark.parametrize("num_entries", [1, 2, 7, 32, 33, 34])
@pytest.mark.parametrize("num_rows", [1, 2, 7, 10_000])
def test_slices_change_nothing_wherever_they_end(num_rows: int, num_entries: int, monkeypatch: Any) -> None:
    hidden, input_ids, lengths, projection = random_case(6, 15, 33)
    projection = torch.nn.Linear(16, 33).requires_grad_(False)
    expected = loop_losses(hidden, input_ids, lengths, projection)
    monkeypatch.setitem(loss.SLICE_ENTRIES, "cpu", num_entries)
    monkeypatch.setitem(loss.LOGITS_BYTES, "cpu", num_rows * 4 * num_entries)
    found = next_token_losses(hidden, input_ids, lengths, head_of(projection))
    for row, losses in enumerate(expected):
        assert found[row, : len(losses)].tolist() == pytest.approx(losses, rel=1e-5)


def test_a_projection_that_is_more_than_its_weight_is_called_whole(monkeypatch: Any) -> None:
    hidden, input_ids, lengths, _ = random_case(3, 9, 33)
    projection = Doubled(16, 33, bias=False).requires_grad_(False)
    monkeypatch.setitem(loss.SLICE_ENTRIES, "cpu", 5)
    found = next_token_losses(hidden, input_ids, lengths, head_of(projection))
    for row, losses in enumerate(loop_losses(hidden, input_ids, lengths, projection)):
        assert found[row, : len(losses)].tolist() == pytest.approx(losses, rel=1e-5)


class LargestTensor(TorchDispatchMode):
    """Remembers the size in bytes of the largest tensor that any operation makes."""

    num_bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not any(schema.alias_info for schema in operation._schema.returns):
            self.num_bytes = max(self.num_bytes, result.numel() * result.element_size())
        return result


def test_full_logits_are_never_held() -> None:
    """262,144 words by 1,999 targets are 2 GB in float32; what is held at a time is 8 MiB."""
    hidden, input_ids, lengths, projection = random_case(1, 2000, 262_144)
    with LargestTensor() as largest:
        next_token_losses(hidden, input_ids, lengths, head_of(projection))
    assert 2**20 < largest.num_bytes <= 8 * 2**20


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_give_float32_losses_that_hardly_feel_how_their_logits_are_rounded(
    dtype: torch.dtype,
) -> None:
    """Losses or logits in bfloat16 move in steps of 0.4 %, as large as small scores."""
    hidden, input_ids, lengths, projection = random_case(3, 40, 1000)
    # Logits around 21, of which none stands out.
    projection.weight.mul_(0.1)
    projection.weight[:, 0], hidden[:, :, 0] = 21, 1
    hidden, projection = hidden.to(dtype), projection.to(dtype)
    found = next_token_losses(hidden, input_ids, lengths, head_of(projection))
    assert found.dtype == torch.float32
    plain = torch.log_softmax(projection(hidden).float(), -1)
    errors, plain_errors = [], []
    for row, losses in enumerate(loop_losses(hidden, input_ids, lengths, projection)):
        for position, expected in enumerate(losses):
            errors.append(found[row, position].item() - expected)
            plain_errors.append(-plain[row, position, input_ids[row, position + 1]].item() - expected)
    assert math.hypot(*errors) < math.hypot(*plain_errors) / 8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_the_models_own_with_its_scaling(architecture: str) -> None:
    model = tiny_model(architecture)
    token_ids = torch.arange(20)[None]
    hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
    assert torch.allclose(LMHead(model)(hidden), model(token_ids).logits, atol=1e-5)


def test_logits_are_capped_and_scaled_as_cohere_and_gemma_do(llama: Any) -> None:
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    plain = llama.lm_head(hidden)
    llama.config.logit_scale = 0.25
    assert torch.allclose(LMHead(llama)(hidden), plain * 0.25)
    llama.config.final_logit_softcapping = 2.0
    assert torch.allclose(LMHead(llama)(hidden), 2 * torch.tanh(plain * 0.25 / 2))


@given(st.lists(st.integers(2, 12), min_size=1, max_size=6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_a_rows_sum_is_that_of_its_own_tokens(lengths: list[int], copies: int) -> None:
    width = max(lengths) - 1
    values = torch.rand(copies * len(lengths), width)
    losses = values.clone()
    for row in range(copies * len(lengths)):
        losses[row, lengths[row % len(lengths)] - 1 :] = torch.nan
    found = row_sums(losses, torch.tensor(lengths))
    assert found.dtype == torch.float64
    for row, total in enumerate(found.tolist()):
        expected = math.fsum(values[row, : lengths[row % len(lengths)] - 1].tolist())
        assert total == pytest.approx(expected, rel=1e-12)


def test_a_loss_that_is_no_number_makes_its_own_rows_sum_none() -> None:
    losses = torch.tensor([[1.0, torch.nan, 2.0], [1.0, 2.0, torch.nan]])
    sums = row_sums(losses, torch.tensor([4, 3])).tolist()
    assert math.isnan(sums[0])
    assert sums[1] == 3.0


def test_small_losses_are_not_lost_beside_a_large_sum() -> None:
    """In float32 a sum of 2**24 no longer grows by 1."""
    losses = torch.full((1, 102), 1.0)
    losses[0, 0] = 2.0**24
    assert row_sums(losses, torch.tensor([103])).item() == 2.0**24 + 101


def test_targets_are_the_rows_own_tokens_after_the_first() -> None:
    assert target_positions(torch.tensor([2, 4]), 4).tolist() == [[True, False, False], [True, True, True]]


def test_rows_of_one_token_have_no_loss() -> None:
    found = next_token_losses(
        torch.randn(2, 1, 16), torch.tensor([[1], [2]]), torch.tensor([1, 1]), head_of(torch.nn.Linear(16, 4))
    )
    assert found.shape == (2, 0)
    assert row_sums(found, torch.tensor([1, 1])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_the_losses_are_those_of_torchs_own_cross_entropy_on_all_logits(architecture: str) -> None:
    model = tiny_model(architecture)
    input_ids = torch.arange(24).view(2, 12) * 13 % VOCAB_SIZE
    hidden = model.base_model(input_ids=torch.cat([input_ids, input_ids]), use_cache=False).last_hidden_state
    lm_head = LMHead(model)
    logits, targets = lm_head(hidden).float()[:, :-1], input_ids.repeat(2, 1)[:, 1:]
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    found = next_token_losses(hidden, input_ids, torch.tensor([12, 12]), lm_head)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
