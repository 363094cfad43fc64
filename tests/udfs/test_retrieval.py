"""Retrieval scores against attention weights that the model itself returns, and against hand-made cases."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig

from udfs.checkpoint import load_model
from udfs.head_choice import select_retrieval_heads
from udfs.retrieval import (
    CopyResult,
    ProbeTokens,
    copy_scores,
    mean_scores,
    tokenize_probe,
)

SHAPE = {
    "vocab_size": 6,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE),
    "mistral": MistralConfig(**SHAPE, sliding_window=22),
    "gpt2": GPT2Config(vocab_size=6, n_embd=32, n_layer=3, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=0),
}
# Prompt of 30 tokens over six words, value at 10 to 16, answer of 6 tokens that repeats some.
PROBE = ProbeTokens(
    token_ids=[*random.Random(3).choices(range(6), k=10), 1, 4, 2, 4, 5, 0, *[3, 1, 4, 2] * 4, 1, 4, 2, 4, 5, 0],
    answer_begin=32,
    span_begin=10,
    span_end=16,
)


def tiny_model(name: str, attention: str = "sdpa") -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention).eval()
    for parameter in model.parameters():
        # Large enough for attention that points somewhere.
        torch.nn.init.normal_(parameter, 0, 0.5)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_a_half_precision_model_reads_a_probe_too(name: str) -> None:
    model = tiny_model(name)
    in_full = torch.tensor(copy_scores(model, PROBE).retrieval_scores)
    found = torch.tensor(copy_scores(model.to(torch.bfloat16), PROBE).retrieval_scores)
    # Rounding may change which token a head attends to most, but seldom.
    assert (found - in_full).abs().mean() < 0.05


def scores_from_returned_attentions(name: str, probe: ProbeTokens) -> list[list[float]]:
    """The definition, in loops, over the attention weights that eager attention returns."""
    model = tiny_model(name, "eager")
    ids = probe.token_ids
    attentions = model(torch.tensor([ids]), output_attentions=True).attentions
    scores = []
    for layer in attentions:
        row_of_heads = []
        for weights in layer[0]:
            copied = set()
            for position in range(probe.answer_begin, len(ids)):
                row = weights[position - 1].tolist()
                best = row.index(max(row))
                if probe.span_begin <= best < probe.span_end and ids[best] == ids[position]:
                    copied.add(ids[position])
            row_of_heads.append(len(copied) / len(set(ids[probe.answer_begin :])))
        scores.append(row_of_heads)
    return scores


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_the_attention_weights_that_the_model_returns(name: str) -> None:
    expected = scores_from_returned_attentions(name, PROBE)
    assert any(score > 0 for layer in expected for score in layer), "a case in which nothing is copied shows nothing"
    assert copy_scores(tiny_model(name), PROBE).retrieval_scores == expected


def test_the_models_own_success_counts_the_tokens_that_it_predicts_one_row_earlier() -> None:
    model = tiny_model("llama")
    logits = model(torch.tensor([PROBE.token_ids])).logits[0]
    right = [int(logits[p - 1].argmax()) == PROBE.token_ids[p] for p in range(PROBE.answer_begin, len(PROBE.token_ids))]
    result = copy_scores(model, PROBE)
    assert (result.num_correct, result.num_answer_tokens) == (sum(right), 6)


def test_a_model_is_itself_again_after_it_was_observed() -> None:
    model = tiny_model("llama")
    ids = torch.tensor([PROBE.token_ids])
    before = model(ids).logits
    copy_scores(model, PROBE)
    assert torch.equal(model(ids).logits, before)


def test_answer_and_value_are_found_in_the_joint_tokens(tiny_tokenizer: Any) -> None:
    prompt = 'The JSON: {"k": "the quick brown fox"} and the value of k is "'
    answer = "the quick brown fox"
    begin = prompt.index(answer)
    probe = tokenize_probe(tiny_tokenizer, prompt, answer, begin, begin + len(answer))
    text_of = tiny_tokenizer.decode
    assert text_of(probe.token_ids[probe.answer_begin :]).strip(' "') == answer
    assert text_of(probe.token_ids[probe.span_begin : probe.span_end]).strip(' "') == answer
    joint = tiny_tokenizer(prompt + answer, add_special_tokens=False)["input_ids"]
    assert probe.token_ids[len(probe.token_ids) - len(joint) :] == joint


def test_a_value_that_is_not_where_the_probe_says_is_an_error(tiny_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="make the probes anew"):
        tokenize_probe(tiny_tokenizer, "some prompt", "answer", 0, 6)


SCORES = {(0, 0): 0.0, (0, 1): 0.4, (1, 0): 0.4, (1, 1): 0.9}


@pytest.mark.parametrize(
    ("top_fraction", "expected"),
    [
        (0.05, [(1, 1)]),
        (0.25, [(1, 1)]),
        (0.26, [(0, 1), (1, 1)]),
        (0.5, [(0, 1), (1, 1)]),
        (0.75, [(0, 1), (1, 0), (1, 1)]),
    ],
)
def test_the_top_fraction_is_rounded_up_and_ties_go_by_layer_and_head(top_fraction: float, expected: list[Any]) -> None:
    assert select_retrieval_heads(SCORES, top_fraction) == expected


def test_seven_percent_of_a_hundred_heads_are_seven() -> None:
    scores = {(layer, head): 0.5 for layer in range(10) for head in range(10)}
    assert len(select_retrieval_heads(scores, 0.07)) == 7


def test_no_heads_are_picked_from_scores_at_chance() -> None:
    with pytest.raises(ValueError, match="at chance"):
        select_retrieval_heads({(0, 0): 0.01, (0, 1): 0.03}, 0.5)


def test_no_heads_are_picked_among_those_that_copied_nothing() -> None:
    with pytest.raises(ValueError, match="only 3 of 4"):
        select_retrieval_heads(SCORES, 1.0)


def test_the_share_that_the_error_advises_is_accepted() -> None:
    scores = {(0, head): 0.5 if head < 17 else 0.0 for head in range(270)}
    with pytest.raises(ValueError, match=r"use --top-fraction 0\.0629 or less"):
        select_retrieval_heads(scores, 1.0)
    assert len(select_retrieval_heads(scores, 0.0629)) == 17


@pytest.mark.parametrize("top_fraction", [0, -0.1, 1.5])
def test_a_top_fraction_that_is_no_share_is_an_error(top_fraction: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        select_retrieval_heads(SCORES, top_fraction)


def test_probes_that_the_model_fails_are_left_out_of_the_mean() -> None:
    answered = CopyResult(num_answer_tokens=4, num_correct=3, retrieval_scores=[[0.5, 0.0]])
    also = CopyResult(num_answer_tokens=4, num_correct=4, retrieval_scores=[[1.0, 0.25]])
    half = CopyResult(num_answer_tokens=4, num_correct=2, retrieval_scores=[[0.0, 1.0]])
    assert mean_scores([answered, half, also]) == {(0, 0): 0.75, (0, 1): 0.125}


def test_a_model_that_answers_no_probe_is_an_error() -> None:
    failed = CopyResult(num_answer_tokens=4, num_correct=1, retrieval_scores=[[0.5]])
    with pytest.raises(ValueError, match="answered none of 1 probes"):
        mean_scores([failed])


def test_the_position_after_the_copied_token_does_not_count_as_a_copy(smollm2_checkpoint: Any) -> None:
    """On the real model: its strongest head copies in row t-1; in row t it looks one token further."""
    model = load_model(smollm2_checkpoint, torch.float32, "cpu")
    words = torch.randperm(20_000, generator=torch.Generator().manual_seed(1))[:60].tolist()
    probe = ProbeTokens([*words, *words[20:40]], answer_begin=60, span_begin=20, span_end=40)
    assert copy_scores(model, probe).retrieval_scores[18][6] > 0.5
