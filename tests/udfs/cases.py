"""The texts and heads that the tests of the paired pass share, and what it means for scores to be right."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.udfs.conftest import SENTENCES
from tests.udfs.models import NUM_HEADS
from tests.udfs.oracle import Head, Oracle
from udfs.document_score import DocumentScore

WINDOW = 16
# From one window to many, the last one full, partly full or of a single token.
SIXTEEN_TOKENS = "0123456789!?#$%&"
TEXTS = ["x = 1", SENTENCES[0], "ab", SENTENCES[3], SIXTEEN_TOKENS, SIXTEEN_TOKENS + "+", SENTENCES[2]]

SOME_HEADS: list[Head] = [(0, 1), (1, 0), (1, 3), (2, 2)]
WHOLE_LAYER: list[Head] = [(1, head) for head in range(NUM_HEADS)]


def assert_as_expected(found: Sequence[DocumentScore], oracle: Oracle, texts: Sequence[str]) -> None:
    for score, text in zip(found, texts, strict=True):
        expected = oracle.score(text)
        assert score.status == "scored", score
        assert score.num_tokens == expected.num_tokens
        assert score.num_predicted_tokens == expected.num_predicted_tokens
        assert score.num_windows == expected.num_windows
        assert score.base_loss == pytest.approx(expected.base_loss, rel=1e-5)
        assert score.masked_loss == pytest.approx(expected.masked_loss, rel=1e-5)
        assert score.influence_score == pytest.approx(expected.influence_score, abs=1e-5)


def assert_same(found: Sequence[DocumentScore], expected: Sequence[DocumentScore]) -> None:
    for score, other in zip(found, expected, strict=True):
        assert (score.status, score.num_tokens, score.num_windows) == (
            other.status,
            other.num_tokens,
            other.num_windows,
        )
        if other.status == "scored":
            assert score.base_loss == pytest.approx(other.base_loss, rel=1e-5)
            assert score.masked_loss == pytest.approx(other.masked_loss, rel=1e-5)
            assert score.influence_score == pytest.approx(other.influence_score, abs=1e-5)
