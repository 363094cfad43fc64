"""Whether a model and its tokenizer know plain English and code: figures by plain loops, and both limits to the bit."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.udfs.conftest import BOS, CONTROL_WORD, byte_level_tokenizer
from tests.udfs.models import CONFIGS, VOCAB_SIZE, tiny_model, with_random_weights
from udfs.checkpoint import load_model
from udfs.plausible import (
    MAX_TOKENS,
    TEXTS,
    PlainTextFigures,
    plain_text_figures,
    require_plausible,
    require_plausible_tokens,
    tokens_per_byte,
)
from udfs.tokenizer import read_tokenizer

REFUSED = r"{} tokens per byte \(must be below 0\.6\), and a loss of {} nats per token \(must be below {}, 60% of ln {}"


@pytest.fixture(scope="module")
def smollm2(smollm2_checkpoint: Any) -> Any:
    torch.set_num_threads(2)
    yield load_model(smollm2_checkpoint, torch.float32, "cpu")
    torch.set_num_threads(1)


def oracle(model: Any, tokenizer: Any, start: list[int], most: int) -> tuple[float, float]:
    """(tokens per byte, nats per token) by plain loops in float64."""
    num_tokens, losses = 0, []
    for text in TEXTS:
        token_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        num_tokens += len(token_ids)
        read = [*start, *token_ids][:most]
        logits = model(input_ids=torch.tensor([read])).logits[0].double()
        for position in range(max(1, len(start)), len(read)):
            row = logits[position - 1]
            losses.append(math.log(sum(math.exp(x) for x in row.tolist())) - float(row[read[position]]))
    return num_tokens / sum(len(text.encode()) for text in TEXTS), sum(losses) / len(losses)


def changed(tokenizer: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """The tokenizer after a change of its tokenizer.json."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    change(content)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), eos_token=CONTROL_WORD, split_special_tokens=True
    )


def a_token_a_letter(content: dict[str, Any]) -> None:
    """As a conversion that lost the merges."""
    content["model"]["merges"] = []


def other_ids(content: dict[str, Any]) -> None:
    """As the tokenizer of another model of the same size: the same tokens under other ids."""
    ids = list(content["model"]["vocab"].values())
    random.Random(0).shuffle(ids)
    content["model"]["vocab"] = dict(zip(content["model"]["vocab"], ids, strict=True))
    content["added_tokens"] = []


def test_a_real_model_with_its_own_tokenizer_is_far_below_both_limits(smollm2: Any, smollm2_tokenizer: Any) -> None:
    found = plain_text_figures(smollm2, smollm2_tokenizer)
    assert found.tokens_per_byte < 0.5 * 0.6
    assert found.loss < 0.5 * 0.6 * math.log(49_152)
    require_plausible(found, "SmolLM2", allow=False)


def test_a_real_model_whose_tokenizer_takes_a_token_a_letter_is_refused_with_both_figures(
    smollm2: Any, smollm2_tokenizer: Any
) -> None:
    found = plain_text_figures(smollm2, changed(smollm2_tokenizer, a_token_a_letter))
    assert found.tokens_per_byte == 1
    expected = REFUSED.format(r"1\.000", f"{found.loss:.3f}", r"6\.482", "49,152")
    with pytest.raises(ValueError, match=expected) as error:
        require_plausible(found, "SmolLM2", allow=False)
    assert "tokenizer or its weights are not those that it was trained with" in str(error.value)
    assert "letters or bytes as tokens, another language, random weights" in str(error.value)
    assert "--allow-implausible-model" in str(error.value)
    # As runs keeps it, and as worker_errors finds it.
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


def test_a_real_model_with_the_ids_of_another_is_refused_for_its_loss(smollm2: Any, smollm2_tokenizer: Any) -> None:
    found = plain_text_figures(smollm2, changed(smollm2_tokenizer, other_ids))
    assert found.tokens_per_byte == tokens_per_byte(smollm2_tokenizer)
    with pytest.raises(ValueError, match=r"a loss of \d+\.\d{3} nats per token \(must be below 6\.482"):
        require_plausible(found, "SmolLM2", allow=False)


@pytest.mark.parametrize("architecture", ["gpt2", "granite", "llama"])
def test_the_figures_are_those_of_a_plain_loop_over_the_models_own_logits(
    architecture: str, tiny_tokenizer: Any
) -> None:
    model = tiny_model(architecture)
    found = plain_text_figures(model, tiny_tokenizer)
    expected = oracle(model, tiny_tokenizer, [], MAX_TOKENS)
    assert (found.tokens_per_byte, found.loss) == pytest.approx(expected, rel=1e-5)
    assert found.vocab_size == VOCAB_SIZE
    with pytest.raises(ValueError, match="--allow-implausible-model"):
        require_plausible(found, "tiny", allow=False)
    require_plausible(found, "tiny", allow=True)


@pytest.mark.parametrize("num_start", [1, 2])
def test_a_text_is_read_after_the_prefix_tokens_whose_own_losses_do_not_count(num_start: int) -> None:
    tokenizer = byte_level_tokenizer(bos=True)
    bos = tokenizer.convert_tokens_to_ids(BOS)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([BOS] * num_start) + " $A", special_tokens=[(BOS, bos)]
    )
    model = tiny_model("llama")
    expected = oracle(model, tokenizer, [bos] * num_start, MAX_TOKENS)
    found = plain_text_figures(model, tokenizer)
    assert (found.tokens_per_byte, found.loss) == pytest.approx(expected, rel=1e-5)


def test_a_text_is_cut_to_what_the_model_reads(tiny_tokenizer: Any) -> None:
    config = CONFIGS["gpt2"]()
    config.n_positions = 16
    model = with_random_weights(GPT2LMHeadModel(config), seed=0)
    assert plain_text_figures(model, tiny_tokenizer).loss == pytest.approx(oracle(model, tiny_tokenizer, [], 16)[1])


def test_tokens_that_say_nothing_of_the_text_count_with_the_loss_of_a_model_that_knows_nothing(tmp_path: Path) -> None:
    # One that reads any word as unknown, which the model, after a few of them, predicts well.
    words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path)
    unknown = read_tokenizer("unknown", str(tmp_path), None)
    found = plain_text_figures(tiny_model("llama"), unknown)
    assert found.tokens_per_byte < 0.6
    assert found.loss == pytest.approx(math.log(VOCAB_SIZE))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_and_the_model_not_asked(smollm2_tokenizer: Any) -> None:
    found = plain_text_figures(tiny_model("llama"), smollm2_tokenizer)
    assert found.loss == pytest.approx(math.log(VOCAB_SIZE))
    with pytest.raises(ValueError, match=r"a loss of 5\.768 nats"):
        require_plausible(found, "tiny", allow=False)


def test_a_tokenizer_that_takes_no_token_is_refused(tiny_tokenizer: Any) -> None:
    def nothing_left(content: dict[str, Any]) -> None:
        content["normalizer"] = {"type": "Replace", "pattern": {"Regex": "[\\s\\S]"}, "content": ""}

    with pytest.raises(ValueError, match="has no token for any of the usual letters"):
        plain_text_figures(tiny_model("llama"), changed(tiny_tokenizer, nothing_left))
    with pytest.raises(ValueError, match="a loss of nan nats"):
        require_plausible(PlainTextFigures(0.0, math.nan, VOCAB_SIZE), "tiny", allow=False)


def test_a_loss_that_overflows_half_precision_is_that_of_float32(tiny_tokenizer: Any) -> None:
    config = LlamaConfig(vocab_size=VOCAB_SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    # Each is a float16 number; their product is none.
    model.model.norm.weight.data.fill_(2.0**12)
    model.lm_head.weight.data = torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(0)) * 8
    model = model.half()
    narrow = model(input_ids=torch.tensor([tiny_tokenizer(TEXTS[0])["input_ids"][:40]])).logits
    assert not narrow.isfinite().all()
    found = plain_text_figures(model, tiny_tokenizer)
    assert {weight.dtype for weight in model.parameters()} == {torch.float16}
    assert found.loss == pytest.approx(plain_text_figures(model.float(), tiny_tokenizer).loss)


def test_weights_that_are_not_numbers_are_refused(tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    model.model.norm.weight.data[0] = math.nan
    with pytest.raises(ValueError, match="a loss of nan nats"):
        require_plausible(plain_text_figures(model, tiny_tokenizer), "tiny", allow=False)


@pytest.mark.parametrize("vocab_size", [256, 49_152, 262_144])
def test_the_limits_themselves_are_refused_and_what_is_below_them_passes(vocab_size: int) -> None:
    max_loss = 0.6 * math.log(vocab_size)
    below = (math.nextafter(0.6, 0), math.nextafter(max_loss, 0))
    require_plausible(PlainTextFigures(*below, vocab_size), "m", allow=False)
    require_plausible_tokens(below[0], "m", allow=False)
    for refused in [(0.6, below[1]), (below[0], max_loss), (0.6, max_loss), (math.nan, 1.0), (0.2, math.nan)]:
        figures = PlainTextFigures(*refused, vocab_size)
        with pytest.raises(ValueError, match=re.escape(f"{refused[1]:.3f} nats per token")):
            require_plausible(figures, "m", allow=False)
        require_plausible(figures, "m", allow=True)
    with pytest.raises(ValueError, match=r"model does: 0\.600 tokens per byte \(must be below 0\.6\)\. Its"):
        require_plausible_tokens(0.6, "m", allow=False)
    require_plausible_tokens(0.6, "m", allow=True)
