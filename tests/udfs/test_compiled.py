"""Compiled layers: the same losses, and as many compilations for seven layers and many lengths as for three."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import LlamaForCausalLM

from tests.udfs.cases import SOME_HEADS, TEXTS, assert_same
from tests.udfs.models import tiny_model, with_random_weights
from udfs import compiled
from udfs.head_mask import Head
from udfs.paired import PairedScorer

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")


@needs_a_compiler
@pytest.mark.compiler
@pytest.mark.parametrize("heads", [SOME_HEADS, [(1, 0), (2, 3)]], ids=["first", "later"])
def test_compiled_layers_give_the_same_scores_from_few_compilations(tiny_tokenizer: Any, heads: list[Head]) -> None:
    num_graphs = []
    for num_layers in (3, 7):
        config = tiny_model("llama").config
        config.num_hidden_layers = num_layers
        model = with_random_weights(LlamaForCausalLM(config), seed=0)
        expected = PairedScorer(copy.deepcopy(model), tiny_tokenizer, heads, window=48).score(TEXTS)
        torch._dynamo.reset()
        counters.clear()
        # Else torch gives up after so many, and runs the layers as they are.
        with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
            scorer = PairedScorer(model, tiny_tokenizer, heads, window=48, compiled=True)
            for budget in (1, 64, 100, 1000):
                scorer.max_batch_tokens = budget
                assert_same(scorer.score(TEXTS), expected)
        num_graphs.append(counters["stats"]["unique_graphs"])
    # Before and after the attention, for several rows and for one: neither more layers nor more lengths add any.
    assert num_graphs[0] == num_graphs[1]
    assert 2 <= num_graphs[0] <= 12


@needs_a_compiler
def test_a_compiled_model_whose_losses_differ_is_refused(tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_wrongly(model: Any) -> None:
        model.model.layers[1].mlp.down_proj.weight.mul_(-30)

    monkeypatch.setattr("udfs.paired.compile_layers", compile_wrongly)
    with pytest.raises(ValueError, match=r"compiled model's losses .* differ .* leave --compile out"):
        PairedScorer(tiny_model("llama"), tiny_tokenizer, SOME_HEADS, window=48, compiled=True)


def test_losses_are_compared_to_the_tolerance() -> None:
    compiled.check_compiled(torch.tensor([1.0]), torch.tensor([1.0005]), 1e-3)
    with pytest.raises(ValueError, match="differ"):
        compiled.check_compiled(torch.tensor([1.0]), torch.tensor([1.002]), 1e-3)
