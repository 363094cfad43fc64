"""Retrieval probes: look-ups in a JSON object that a model answers by copying.

Source: arXiv:2505.07293. The paper leaves open, and we chose: values of 5 to 30 tokens; keys of A-Z, a-z and 0-9;
demonstrations with pairs of the same object, but never the queried pair; and one seed for everything.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

from udfs.prefix_tokens import prefix_tokens
from udfs.probe_identity import NUM_DEMONSTRATIONS, probe_identity
from udfs.sentences import draw_sentences

KEY_ALPHABET = string.ascii_letters + string.digits
KEY_LENGTH = 32
MIN_VALUE_TOKENS = 5
MAX_VALUE_TOKENS = 30

# The demonstrations repeat the object's own `"key": "value"` lines. With them, SmolLM2-135M gets 0.97 of the answer's
# tokens right, teacher-forced, on 12 probes of 900 tokens; without the queried pair in the object, 0.26.
INSTRUCTION = "Look up each key in the JSON object and copy its value.\n\n"

_SENTENCES_BEFORE_GIVING_UP = 500
_DRAWS_BEFORE_GIVING_UP = 20


@dataclass(frozen=True)
class Probe:
    """One look-up: prompt ends right before answer, and prompt[value_start:value_end] == answer.

    value_start and value_end are the character offsets in prompt of the queried value inside the JSON object, end
    exclusive. num_pairs counts the object's pairs. num_tokens counts what a model reads: prefix tokens, and prompt and
    answer tokenised together.
    """

    probe_id: str
    prompt: str
    answer: str
    num_pairs: int
    seed: int
    value_start: int
    value_end: int
    num_tokens: int


class _Pair(NamedTuple):
    key: str
    value: str
    num_tokens: int  # of the pair's line, tokenised alone
    order: float  # pairs are sorted by this random number in the object, so that every position is equally likely

    @property
    def line(self) -> str:
        return f'"{self.key}": "{self.value}"'


def make_probes(
    tokenizer: Any,
    num_probes: int,
    probe_tokens: int,
    seed: int,
    num_demonstrations: int = NUM_DEMONSTRATIONS,
    *,
    max_positions: int | None = None,
    tokenizer_id: str | None = None,
) -> Iterator[Probe]:
    """num_probes probes, made one by one, each with as many pairs as fit into probe_tokens tokens of tokenizer.

    Probe i depends only on i and the other arguments, not on num_probes. tokenizer is a transformers tokenizer;
    tokenizer_id becomes part of the probe ids (default: its name_or_path). Raises ValueError, before the first probe,
    if probe_tokens exceeds max_positions (the model's context) or has no room for a query with its demonstrations.
    """
    if num_probes < 1:
        raise ValueError(f"num_probes is {num_probes}; ask for at least 1")
    if num_demonstrations < 0:
        raise ValueError(f"num_demonstrations is {num_demonstrations}; it must be 0 or more")
    if max_positions is not None and probe_tokens > max_positions:
        raise ValueError(
            f"probe_tokens is {probe_tokens}, but the model's context holds {max_positions} tokens; "
            f"set it (--probe-tokens) to {max_positions} or less"
        )
    name = str(tokenizer.name_or_path) if tokenizer_id is None else tokenizer_id
    probes = (
        _make_probe(
            tokenizer, name, index=i, probe_tokens=probe_tokens, seed=seed, num_demonstrations=num_demonstrations
        )
        for i in range(num_probes)
    )
    return chain([next(probes)], probes)


def _make_probe(
    tokenizer: Any, tokenizer_id: str, index: int, probe_tokens: int, seed: int, num_demonstrations: int
) -> Probe:
    """Probe number index of this seed."""
    stream = _draw_pairs(tokenizer, random.Random(f"{seed}/{index}"))
    pairs, num_tokens = _fill(tokenizer, stream, probe_tokens=probe_tokens, num_demonstrations=num_demonstrations)
    prompt, answer, value_start = _lay_out(pairs, num_demonstrations)
    return Probe(
        probe_id=probe_identity(
            tokenizer_id,
            seed=seed,
            index=index,
            probe_tokens=probe_tokens,
            prompt=prompt,
            answer=answer,
            num_demonstrations=num_demonstrations,
        ),
        prompt=prompt,
        answer=answer,
        num_pairs=len(pairs),
        seed=seed,
        value_start=value_start,
        value_end=value_start + len(answer),
        num_tokens=num_tokens,
    )


def _draw_pairs(tokenizer: Any, rng: random.Random) -> Iterator[_Pair]:
    """Pairs without end, whose keys and values are distinct and whose values have 5 to 30 tokens."""
    seen: set[str] = set()
    num_refused = 0
    for value in draw_sentences(rng):
        if value in seen or not MIN_VALUE_TOKENS <= _count_tokens(tokenizer, value) <= MAX_VALUE_TOKENS:
            num_refused += 1
            if num_refused == _SENTENCES_BEFORE_GIVING_UP:
                raise ValueError(
                    f"{num_refused} English sentences in a row have fewer than {MIN_VALUE_TOKENS} or more than "
                    f"{MAX_VALUE_TOKENS} tokens under tokenizer {tokenizer.name_or_path!r}; "
                    "name a model whose tokenizer was trained on English"
                )
            continue
        seen.add(value)
        num_refused = 0
        pair = _Pair("".join(rng.choices(KEY_ALPHABET, k=KEY_LENGTH)), value, num_tokens=0, order=rng.random())
        yield pair._replace(num_tokens=_count_tokens(tokenizer, pair.line + ",\n"))


def _fill(
    tokenizer: Any, stream: Iterator[_Pair], probe_tokens: int, num_demonstrations: int
) -> tuple[list[_Pair], int]:
    """(the queried pair, its demonstrations and as many further pairs as fit; the tokens of the whole probe)."""

    def count(num_pairs: int) -> int:
        prompt, answer, _ = _lay_out(pairs[:num_pairs], num_demonstrations)
        return num_prefix_tokens + _count_tokens(tokenizer, prompt + answer)

    num_prefix_tokens = len(prefix_tokens(tokenizer))
    smallest = num_demonstrations + 1
    too_long: list[int] = []
    while len(too_long) < _DRAWS_BEFORE_GIVING_UP:
        pairs = list(islice(stream, smallest))
        estimate = count(smallest)
        if estimate <= probe_tokens:
            break
        too_long.append(estimate)
    else:
        raise ValueError(
            f"probe_tokens is {probe_tokens}, but {num_demonstrations} demonstrations and a query need about "
            f"{max(too_long)} tokens of this tokenizer; set it (--probe-tokens) to {max(too_long)} or more"
        )
    while estimate <= probe_tokens:
        pairs.append(next(stream))
        estimate += pairs[-1].num_tokens
    # Lines tokenised alone may have other tokens than within the text, so only a count of the whole text decides.
    fitting = len(pairs) - 1
    while count(fitting) > probe_tokens:
        fitting -= 1
    while count(fitting + 1) <= probe_tokens:
        fitting += 1
        pairs.extend(islice(stream, fitting + 1 - len(pairs)))
    return pairs[:fitting], count(fitting)


def _lay_out(pairs: list[_Pair], num_demonstrations: int) -> tuple[str, str, int]:
    """(prompt, answer, first character of the queried value). pairs[0] is queried; the next ones are demonstrated."""
    query, demonstrations = pairs[0], pairs[1 : num_demonstrations + 1]
    ordered = sorted(pairs, key=lambda pair: pair.order)
    context = "{\n" + ",\n".join(pair.line for pair in ordered) + "\n}"
    assert json.loads(context, object_pairs_hook=list) == [(pair.key, pair.value) for pair in ordered]
    opening = f'"{query.key}": "'
    value_start = len(INSTRUCTION) + context.index(opening) + len(opening)
    demonstrated = "".join(pair.line + "\n" for pair in demonstrations)
    # The prompt ends in the quote, so that the answer begins with a new token, as the value does in the object.
    return f"{INSTRUCTION}{context}\n\n{demonstrated}{opening}", query.value, value_start


def _count_tokens(tokenizer: Any, text: str) -> int:
    # verbose=False, because the tokenizer would warn of long texts; its limit is often wrong, and irrelevant here.
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
