"""The only label shift, in chunks, against a loop in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.udfs.models import ARCHITECTURES, tiny_model
from udfs import loss
from udfs.loss import logits_function, next_token_losses, row_sums, target_positions


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


def loop_losses(hidden: Tensor, input_ids: Tensor, lengths: Tensor, projection: torch.nn.Linear) -> list[list[float]]:
    """For each row of hidden, the losses of its real targets, from the projection's own logits in float64."""
    result = []
    for row in range(hidden.shape[0]):
        source = row % input_ids.shape[0]
        result.append(
            [
                -torch.log_softmax(projection(hidden[row, position]).double(), -1)[
                    input_ids[source, position + 1]
                ].item()
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
    found = next_token_losses(hidden, input_ids, lengths, projection)
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
        losses = next_token_losses(hidden, input_ids, lengths, lambda states: states)
        assert (losses < 1e-3).all() == is_right


def test_losses_of_padding_are_nan_so_that_a_forgotten_mask_shows() -> None:
    hidden, input_ids, lengths, projection = random_case(4, 9, 20, copies=2)
    found = next_token_losses(hidden, input_ids, lengths, projection)
    for row in range(8):
        num_targets = int(lengths[row % 4]) - 1
        assert found[row, :num_targets].isfinite().all()
        assert found[row, num_targets:].isnan().all()


def test_the_last_position_and_the_padding_reach_no_loss() -> None:
    hidden, input_ids, lengths, projection = random_case(3, 12, 20)
    expected = row_sums(next_token_losses(hidden, input_ids, lengths, projection), lengths)
    for row, length in enumerate(lengths.tolist()):
        hidden[row, length - 1 :] = torch.nan
        input_ids[row, length:] = 0
    assert torch.equal(row_sums(next_token_losses(hidden, input_ids, lengths, projection), lengths), expected)


def test_chunks_change_nothing_wherever_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, input_ids, lengths, projection = random_case(6, 15, 33)
    expected = loop_losses(hidden, input_ids, lengths, projection)
    num_targets = int(lengths.sum()) - 6
    for chunk_rows in (1, 2, 7, num_targets - 1, num_targets, num_targets + 1):
        monkeypatch.setattr(loss, "MAX_LOGITS_BYTES", chunk_rows * 4 * 33)
        found = next_token_losses(hidden, input_ids, lengths, projection)
        for row, losses in enumerate(expected):
            assert found[row, : len(losses)].tolist() == pytest.approx(losses, rel=1e-5)


def test_full_logits_are_never_held() -> None:
    """262,144 words by 199 targets are 209 MB in float32; what is held at a time is 64 MiB."""
    vocab_size = 262_144
    hidden, input_ids, lengths, _ = random_case(1, 200, vocab_size)
    most_rows = 0

    def logits(states: Tensor) -> Tensor:
        nonlocal most_rows
        most_rows = max(most_rows, states.shape[0])
        return states[:, :1].expand(-1, vocab_size)

    losses = next_token_losses(hidden, input_ids, lengths, logits)
    assert losses[0].tolist() == pytest.approx([math.log(vocab_size)] * 199, rel=1e-5)
    assert 1 <= most_rows * vocab_size * 4 <= 64 * 2**20


def test_a_vocabulary_larger_than_the_chunk_still_goes_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "MAX_LOGITS_BYTES", 8)
    hidden, input_ids, lengths, projection = random_case(2, 5, 33)
    expected = [sum(losses) for losses in loop_losses(hidden, input_ids, lengths, projection)]
    found = row_sums(next_token_losses(hidden, input_ids, lengths, projection), lengths)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_models_give_float32_losses(dtype: torch.dtype) -> None:
    """Losses stored in bfloat16 move in steps of 0.4 %, as large as small scores."""
    hidden, input_ids, lengths, projection = random_case(3, 40, 100, dtype=dtype)
    found = next_token_losses(hidden, input_ids, lengths, projection)
    assert found.dtype == torch.float32
    for row, expected in enumerate(loop_losses(hidden, input_ids, lengths, projection)):
        assert found[row, : len(expected)].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_the_models_own_with_its_scaling(architecture: str) -> None:
    model = tiny_model(architecture)
    token_ids = torch.arange(20)[None]
    hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
    assert torch.allclose(logits_function(model)(hidden), model(token_ids).logits, atol=1e-5)


def test_logits_are_capped_and_scaled_as_cohere_and_gemma_do(llama: Any) -> None:
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    plain = llama.lm_head(hidden)
    llama.config.logit_scale = 0.25
    assert torch.allclose(logits_function(llama)(hidden), plain * 0.25)
    llama.config.final_logit_softcapping = 2.0
    assert torch.allclose(logits_function(llama)(hidden), 2 * torch.tanh(plain * 0.25 / 2))


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
    found = next_token_losses(torch.randn(2, 1, 16), torch.tensor([[1], [2]]), torch.tensor([1, 1]), lambda x: x)
    assert found.shape == (2, 0)
    assert row_sums(found, torch.tensor([1, 1])).tolist() == [0.0, 0.0]
