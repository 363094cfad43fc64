"""Batches of windows within a budget, and their padding."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.udfs.models import ARCHITECTURES, VOCAB_SIZE, tiny_model
from udfs.attention import install_paired_mask
from udfs.batches import num_tokens, pad_right, token_budget_batches
from udfs.lm_head import LMHead
from udfs.loss import next_token_losses, row_sums
from udfs.windows import Window

LENGTHS = st.lists(st.integers(2, 40), max_size=40)


def windows_of(lengths: Sequence[int]) -> list[Window]:
    return [Window(number, [number] * length) for number, length in enumerate(lengths)]


@given(LENGTHS, st.integers(1, 200))
def test_every_window_is_in_exactly_one_batch(lengths: list[int], max_batch_tokens: int) -> None:
    windows = windows_of(lengths)
    batched = [window.document for batch in token_budget_batches(windows, max_batch_tokens) for window in batch]
    assert sorted(batched) == list(range(len(windows)))


@given(LENGTHS, st.integers(1, 200))
def test_no_batch_with_its_padding_exceeds_the_budget_unless_it_is_one_window(
    lengths: list[int], max_batch_tokens: int
) -> None:
    for batch in token_budget_batches(windows_of(lengths), max_batch_tokens):
        assert len(batch) >= 1
        longest = max(len(window.token_ids) for window in batch)
        assert len(batch) == 1 or len(batch) * longest <= max_batch_tokens


@given(LENGTHS, st.integers(1, 200))
def test_windows_go_longest_first_so_that_the_first_batch_is_the_one_that_may_not_fit(
    lengths: list[int], max_batch_tokens: int
) -> None:
    batches = token_budget_batches(windows_of(lengths), max_batch_tokens)
    found = [len(window.token_ids) for batch in batches for window in batch]
    assert found == sorted(lengths, reverse=True)


@given(LENGTHS, st.integers(1, 200))
def test_packed_batches_are_filled_to_the_budget_by_their_own_tokens(lengths: list[int], max_batch_tokens: int) -> None:
    batches = list(token_budget_batches(windows_of(lengths), max_batch_tokens, packed=True))
    assert sorted(window.document for batch in batches for window in batch) == list(range(len(lengths)))
    for batch, following in itertools.zip_longest(batches, batches[1:]):
        total = num_tokens(batch, packed=True)
        assert total == sum(lengths[window.document] for window in batch)
        assert len(batch) == 1 or total <= max_batch_tokens
        if following is not None:
            unpacked = len(batch[0].token_ids) * (len(batch) + 1)
            assert max(total + len(following[0].token_ids), unpacked // 16) > max_batch_tokens


def test_a_long_window_is_not_packed_with_so_many_short_ones_that_its_width_fills_the_memory() -> None:
    batches = token_budget_batches(windows_of([1000, *[2] * 400]), max_batch_tokens=2000, packed=True)
    assert [len(batch) for batch in batches] == [32, 369]


def test_a_batch_is_as_large_as_the_budget_allows() -> None:
    batches = list(token_budget_batches(windows_of([10] * 7), max_batch_tokens=30))
    assert [len(batch) for batch in batches] == [3, 3, 1]


def test_no_windows_make_no_batch() -> None:
    assert list(token_budget_batches([], 100)) == []


def test_rows_are_padded_on_the_right_to_the_longest() -> None:
    token_ids, lengths = pad_right([Window(0, [5, 6]), Window(1, [7, 8, 9, 10])], 3, torch.device("cpu"))
    assert token_ids.tolist() == [[5, 6, 3, 3], [7, 8, 9, 10]]
    assert token_ids.dtype == torch.int64
    assert lengths.tolist() == [2, 4]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_random_padding_changes_no_rows_losses(architecture: str) -> None:
    model = tiny_model(architecture)
    remove = install_paired_mask(model, [(0, 1), (1, 0), (2, 3)], "uniform")
    batch = [Window(number, list(range(40 * number, 40 * number + length))) for number, length in enumerate((30, 9, 2))]

    def sums(token_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
        return row_sums(next_token_losses(hidden, token_ids, lengths, LMHead(model)), lengths)

    token_ids, lengths = pad_right(batch, 0, torch.device("cpu"))
    expected = sums(token_ids, lengths)
    generator = torch.Generator().manual_seed(0)
    is_padding = torch.arange(token_ids.shape[1]) >= lengths[:, None]
    for _ in range(3):
        noise = torch.randint(VOCAB_SIZE, token_ids.shape, generator=generator)
        found = sums(torch.where(is_padding, noise, token_ids), lengths)
        assert torch.allclose(found, expected, rtol=1e-5)
    alone = torch.stack([sums(*pad_right([window], 0, torch.device("cpu"))) for window in batch], dim=1).flatten()
    assert torch.allclose(expected, alone, rtol=1e-5)
    remove()
