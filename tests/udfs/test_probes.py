"""Probes: what they hold, how tightly they are filled, and that nothing but the queried value answers them."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from itertools import islice
from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from udfs.probes import Probe, make_probes
from udfs.sentences import draw_sentences

PAIR = re.compile(r'"([A-Za-z0-9]{32})": "([^"\\]+)"')
QUERY = re.compile(r'"([A-Za-z0-9]{32})": "\Z')


def trained(tokenizer: Tokenizer, alphabet: list[str], special: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=3000, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    # Half manual, half sentences, so that words are a token or two, as they are for a real model.
    sentences = islice(draw_sentences(random.Random("training")), 1000)
    tokenizer.train_from_iterator([*[topics[name] for name in sorted(topics)[:20]], *sentences], trainer)
    return tokenizer


@pytest.fixture(scope="module")
def byte_level() -> Any:
    """Byte-level BPE as GPT-2, SmolLM2 and Llama 3 have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=trained(tokenizer, pre_tokenizers.ByteLevel.alphabet(), []), name_or_path="byte-level"
    )


@pytest.fixture(scope="module")
def whole_text() -> Any:
    """BPE that may merge across words and quotes and starts a text with <s>, as Llama 2 and Gemma have it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    alphabet = [chr(code) for code in range(32, 127)] + ["\n"]
    bytes_ = [f"<0x{code:02X}>" for code in range(256)]
    tokenizer = trained(tokenizer, alphabet, ["<unk>", "<s>", *bytes_])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", name_or_path="whole-text")


def parts(probe: Probe) -> tuple[dict[str, str], list[tuple[str, str]], str]:
    """(the JSON object, the demonstrations, the queried key), read from the prompt alone."""
    begin = probe.prompt.index("{")
    context, end = json.JSONDecoder().raw_decode(probe.prompt, begin)
    after = probe.prompt[end:]
    query = QUERY.search(after)
    assert query is not None
    return context, PAIR.findall(after[: query.start()]), query[1]


def assert_well_formed(probe: Probe, tokenizer: Any, probe_tokens: int, num_demonstrations: int = 3) -> None:
    context, demonstrations, queried = parts(probe)
    text = probe.prompt[probe.prompt.index("{") : probe.prompt.index("}") + 1]
    assert json.loads(text, object_pairs_hook=list) == PAIR.findall(text)  # nothing escaped, no key twice
    assert len(context) == len(set(context.values())) == probe.num_pairs
    for value in context.values():
        assert 5 <= len(tokenizer(value, add_special_tokens=False).input_ids) <= 30
    assert len({key for key, _ in demonstrations}) == num_demonstrations
    assert set(demonstrations) <= set(context.items())
    assert queried not in dict(demonstrations)
    assert context[queried] == probe.answer == probe.prompt[probe.value_start : probe.value_end]
    assert probe.prompt[: probe.value_start].endswith(f'"{queried}": "')
    assert probe.value_end <= probe.prompt.index("}")
    assert len(tokenizer(probe.prompt + probe.answer).input_ids) == probe.num_tokens <= probe_tokens


@pytest.mark.parametrize("name", ["byte_level", "whole_text"])
def test_a_probe_is_a_json_object_three_demonstrations_and_a_query(name, request):
    tokenizer = request.getfixturevalue(name)
    probes = list(make_probes(tokenizer, 5, 1500, seed=1))
    assert len({probe.probe_id for probe in probes}) == len({probe.prompt for probe in probes}) == 5
    for probe in probes:
        assert probe.seed == 1
        assert_well_formed(probe, tokenizer, 1500)


@given(seed=st.integers(-(2**63), 2**63 - 1), probe_tokens=st.integers(700, 1400), num_demonstrations=st.integers(0, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_seed_and_size_gives_a_well_formed_probe(byte_level, seed, probe_tokens, num_demonstrations):
    (probe,) = make_probes(byte_level, 1, probe_tokens, seed, num_demonstrations)
    assert_well_formed(probe, byte_level, probe_tokens, num_demonstrations)


@pytest.mark.parametrize("name", ["byte_level", "whole_text"])
def test_one_more_pair_would_exceed_the_probe_tokens(name, request):
    tokenizer = request.getfixturevalue(name)
    for seed in range(4):
        (probe,) = make_probes(tokenizer, 1, 900, seed)
        roomier = (next(make_probes(tokenizer, 1, probe_tokens, seed)) for probe_tokens in range(901, 1000))
        first = next(other for other in roomier if other.num_pairs != probe.num_pairs)
        # The first budget under which another pair fits is exactly what that larger probe takes.
        assert first.num_pairs == probe.num_pairs + 1
        (exact,) = make_probes(tokenizer, 1, first.num_tokens, seed)
        assert exact.num_tokens == first.num_tokens > 900
        assert set(parts(probe)[0].items()) < set(parts(first)[0].items())


def test_no_value_comes_twice_in_a_large_object(byte_level):
    (probe,) = make_probes(byte_level, 1, 60_000, seed=4)  # here the grammar says something twice
    assert probe.num_pairs > 1000
    assert len(set(parts(probe)[0].values())) == probe.num_pairs


def test_values_have_from_5_to_30_tokens(byte_level):
    lengths = {
        len(byte_level(value).input_ids)
        for probe in make_probes(byte_level, 10, 4096, seed=0)
        for value in parts(probe)[0].values()
    }
    assert 5 <= min(lengths) <= 7
    assert 25 <= max(lengths) <= 30


def test_pairs_fill_the_probe_to_within_one_pair(byte_level):
    for probe in make_probes(byte_level, 12, 1500, seed=3):
        context = parts(probe)[0]
        longest = max(len(byte_level(f'"{key}": "{value}",\n').input_ids) for key, value in context.items())
        assert 1500 - probe.num_tokens < longest + 10


def test_the_same_seed_gives_the_same_probes_whatever_their_number(byte_level):
    few, many = list(make_probes(byte_level, 3, 800, seed=5)), list(make_probes(byte_level, 6, 800, seed=5))
    assert few == many[:3]
    assert not {probe.answer for probe in few} & {probe.answer for probe in make_probes(byte_level, 3, 800, seed=6)}


def test_the_id_changes_with_seed_index_size_and_tokenizer(byte_level):
    ids = [next(make_probes(byte_level, 1, 800, seed=5)).probe_id]
    ids.append(list(make_probes(byte_level, 2, 800, seed=5))[1].probe_id)
    ids.append(next(make_probes(byte_level, 1, 800, seed=6)).probe_id)
    ids.append(next(make_probes(byte_level, 1, 801, seed=5)).probe_id)
    ids.append(next(make_probes(byte_level, 1, 800, seed=5, tokenizer_id="another")).probe_id)
    assert len(set(ids)) == 5
    assert next(make_probes(byte_level, 1, 800, seed=5, tokenizer_id="byte-level")).probe_id == ids[0]


def test_every_position_of_the_object_is_queried_equally_often(byte_level):
    thirds: Counter[int] = Counter()
    for probe in make_probes(byte_level, 300, 620, seed=0):
        context, _, queried = parts(probe)
        # A third of the objects' positions, ends included, whatever the number of pairs.
        thirds[3 * list(context).index(queried) // len(context)] += 1
    # 100 expected, standard deviation about 8.
    assert all(65 < thirds[third] < 135 for third in range(3)), thirds


@pytest.mark.parametrize("name", ["byte_level", "smollm2_tokenizer"])
def test_the_answer_has_the_very_tokens_of_the_queried_value_and_a_clean_start(name, request):
    tokenizer = request.getfixturevalue(name)
    for probe in make_probes(tokenizer, 20, 900, seed=2):
        encoded = tokenizer(probe.prompt + probe.answer, return_offsets_mapping=True)
        tokens = list(zip(encoded.input_ids, encoded.offset_mapping, strict=True))
        in_value = [t for t, (begin, end) in tokens if begin < probe.value_end and end > probe.value_start]
        in_answer = [(t, begin) for t, (begin, end) in tokens if end > len(probe.prompt)]
        assert in_answer[0][1] == len(probe.prompt)
        assert [t for t, _ in in_answer] == in_value


def test_800_probes_of_4096_tokens_are_made_in_well_under_two_minutes(smollm2_tokenizer):
    started = time.process_time()
    probes = list(make_probes(smollm2_tokenizer, 40, 4096, seed=0))
    assert (time.process_time() - started) * 800 / 40 < 100
    assert sum(probe.num_tokens for probe in probes) / 40 > 4096 - 30  # half a pair below, on average
    assert all(4096 - 70 < probe.num_tokens <= 4096 for probe in probes)


def test_values_are_plain_sentences_of_many_shapes():
    stream = draw_sentences(random.Random(0))
    sentences = [next(stream) for _ in range(2000)]
    assert len(set(sentences)) >= 1995
    assert all(re.fullmatch(r"[A-Z][A-Za-z, ]+[a-z]", sentence) for sentence in sentences)
    assert not any(re.search(r"\b[aA] [aeiou]|  |\ban [^aeiou]", sentence) for sentence in sentences)
    assert all(4 <= len(sentence.split()) <= 26 for sentence in sentences)


def test_values_of_one_object_hardly_tell_of_each_other():
    for seed in range(20):
        stream = draw_sentences(random.Random(seed))
        words = [set(next(stream).lower().split()) for _ in range(30)]
        overlaps = [len(a & b) / min(len(a), len(b)) for i, a in enumerate(words) for b in words[:i]]
        assert sum(overlaps) / len(overlaps) < 0.2


def test_too_few_tokens_for_the_demonstrations_is_an_error_that_names_a_number_that_works(byte_level):
    with pytest.raises(
        ValueError, match=r"probe_tokens is 200, but 3 demonstrations and a query need about \d+"
    ) as error:
        make_probes(byte_level, 20, 200, seed=0)
    enough = int(re.findall(r"(\d+) or more", str(error.value))[0])
    assert len(list(make_probes(byte_level, 20, enough, seed=0))) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_probes": 0}, "num_probes is 0"),
        ({"num_demonstrations": -1}, "num_demonstrations is -1"),
        ({"max_positions": 799}, "probe_tokens is 800, but the model's context holds 799"),
        ({"probe_tokens": 0}, "probe_tokens is 0"),
        ({"probe_tokens": -5}, "probe_tokens is -5"),
    ],
)
def test_settings_that_allow_no_probe_are_refused_before_the_first_probe(byte_level, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_probes(byte_level, **{"num_probes": 1, "probe_tokens": 800, "seed": 0, **arguments})
    assert len(list(make_probes(byte_level, 1, 800, 0, max_positions=800))) == 1


def test_a_tokenizer_that_splits_words_into_letters_is_named(byte_level):
    one_token_a_character = Tokenizer(models.BPE({chr(c): c for c in range(128)}, []))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=one_token_a_character, name_or_path="letters")
    with pytest.raises(ValueError, match=r"'letters'.*trained on English"):
        list(make_probes(tokenizer, 20, 100_000, seed=0))


def test_a_real_model_answers_the_probes(smollm2_checkpoint, smollm2_tokenizer):
    """Teacher-forced; measured 0.97 (seed 0) and 0.96 (seed 1) of the answers' tokens."""
    import torch

    from udfs.checkpoint import load_model

    model = load_model(smollm2_checkpoint, torch.float32, "cpu")
    shares = []
    for probe in make_probes(smollm2_tokenizer, 6, 900, seed=0):
        encoded = smollm2_tokenizer(probe.prompt + probe.answer, return_offsets_mapping=True)
        begin = next(i for i, (_, end) in enumerate(encoded.offset_mapping) if end > len(probe.prompt))
        token_ids = torch.tensor([encoded.input_ids])
        with torch.inference_mode():
            predicted = model(token_ids, use_cache=False).logits[0, begin - 1 : -1].argmax(-1)
        shares.append((predicted == token_ids[0, begin:]).float().mean().item())
    assert sum(shares) / len(shares) >= 0.7, shares
