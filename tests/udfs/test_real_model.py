"""What the method promises, on a real model: SmolLM2-135M, float32, with the heads that its own probes detect."""

from __future__ import annotations

import itertools
import random
import statistics
from typing import Any

import pytest
import torch

from udfs.checkpoint import load_model
from udfs.head_choice import select_retrieval_heads
from udfs.head_mask import Head
from udfs.paired import PairedScorer
from udfs.probes import make_probes
from udfs.retrieval import copy_scores, mean_scores, tokenize_probe
from udfs.sentences import draw_sentences

# Common English words: given rarer ones, this small model does not copy them itself, and there is nothing to mask.
SENTENCES = itertools.islice(draw_sentences(random.Random(0)), 2000)
VOCABULARY = sorted({word for text in SENTENCES for word in text.split() if word.islower() and len(word) > 2})
NUM_TEXTS = 2
NUM_DRAWS = 4


def words(count: int, seed: int) -> list[str]:
    return random.Random(seed).sample(VOCABULARY, count)


NOISE = [" ".join(words(400, seed)) for seed in range(NUM_TEXTS)]
COPIED = [" ".join(words(200, seed) * 2) for seed in range(NUM_TEXTS)]


@pytest.fixture(scope="module")
def model(smollm2_checkpoint: Any) -> Any:
    torch.set_num_threads(2)
    yield load_model(smollm2_checkpoint, torch.float32, "cpu")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def detected(model: Any, smollm2_tokenizer: Any) -> list[Head]:
    """The heads that six probes of 900 tokens detect."""
    results = []
    for probe in make_probes(smollm2_tokenizer, num_probes=6, probe_tokens=900, seed=0):
        span = (probe.value_start, probe.value_end)
        results.append(copy_scores(model, tokenize_probe(smollm2_tokenizer, probe.prompt, probe.answer, *span)))
    return select_retrieval_heads(mean_scores(results), 0.05)


def mean_score(model: Any, tokenizer: Any, heads: list[Head], texts: list[str]) -> float:
    scorer = PairedScorer(model, tokenizer, heads)
    try:
        return statistics.mean(score.influence_score or 0.0 for score in scorer.score(texts))
    finally:
        scorer.remove()


@pytest.fixture(scope="module")
def copied(model: Any, smollm2_tokenizer: Any, detected: list[Head]) -> float:
    """The mean score of the texts that repeat themselves, with these heads."""
    return mean_score(model, smollm2_tokenizer, detected, COPIED)


def test_the_known_retrieval_heads_are_detected(detected: list[Head]) -> None:
    assert len(detected) == 14
    assert {(18, 6), (17, 3), (20, 6), (18, 7)} <= set(detected)


def test_text_that_repeats_itself_needs_the_heads_and_random_words_do_not(
    model: Any, smollm2_tokenizer: Any, detected: list[Head], copied: float
) -> None:
    assert copied > 0.5
    assert mean_score(model, smollm2_tokenizer, detected, NOISE) < 0.15


def test_random_heads_of_the_same_layers_matter_less_to_the_copied_text(
    model: Any, smollm2_tokenizer: Any, detected: list[Head], copied: float
) -> None:
    draws = []
    for seed in range(NUM_DRAWS):
        random_heads = []
        for layer in sorted({layer for layer, _ in detected}):
            count = sum(one == layer for one, _ in detected)
            others = [(layer, head) for head in range(9) if (layer, head) not in detected]
            random_heads += random.Random(seed * 100 + layer).sample(others, count)
        draws.append(mean_score(model, smollm2_tokenizer, random_heads, COPIED))
    assert max(draws) < copied
    assert statistics.mean(draws) < 0.6 * copied
