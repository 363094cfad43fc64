"""How well each head retrieves: how often it attends most to the very token that the answer has next.

Source: Wu et al., arXiv:2404.15574; the probes are those of arXiv:2505.07293. One teacher-forced forward per probe.

Shapes: L layers, H query heads, G key/value heads, T tokens of a probe, N tokens of its answer, D head size, C hidden
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from udfs.attention import install_observer
from udfs.head_mask import Head
from udfs.lm_head import LMHead
from udfs.prefix_tokens import prefix_tokens

# A probe counts only if the model gets more than this share of the answer's tokens right (our choice): otherwise it
# says nothing about how the model retrieves.
MIN_ACCURACY = 0.5


@dataclass(frozen=True)
class ProbeTokens:
    """A probe as the model reads it.

    token_ids holds prefix tokens, prompt and answer. The answer is the tokens from position answer_begin to the end.
    The queried value's tokens in the context are those from position span_begin to span_end, end exclusive.
    """

    token_ids: list[int]
    answer_begin: int
    span_begin: int
    span_end: int


@dataclass(frozen=True)
class CopyResult:
    """What each head copied of a probe's answer, retrieval_scores[layer][head] in [0, 1]; what the model got right."""

    num_answer_tokens: int
    num_correct: int
    retrieval_scores: list[list[float]]

    @property
    def answered(self) -> bool:
        """Whether the model got more than half of the answer right."""
        return self.num_correct > MIN_ACCURACY * self.num_answer_tokens


def tokenize_probe(tokenizer: Any, prompt: str, answer: str, value_start: int, value_end: int) -> ProbeTokens:
    """The probe's tokens, with the positions of answer and value found by character offsets.

    Prompt and answer are tokenised together, as the model would read them: tokenised apart, the tokens at the boundary
    could differ, and with them all later positions. value_start and value_end are characters of the prompt. Raises
    ValueError when these characters are not the answer.
    """
    if prompt[value_start:value_end] != answer:
        raise ValueError(
            f"characters {value_start} to {value_end} of the prompt are not the answer; make the probes anew: "
            "attention-influence probes"
        )
    encoded = tokenizer(prompt + answer, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    prefix = prefix_tokens(tokenizer)
    offsets = encoded["offset_mapping"]
    answer_positions = [i for i, (_, end) in enumerate(offsets) if end > len(prompt)]
    span = [i for i, (begin, end) in enumerate(offsets) if begin < value_end and end > value_start]
    return ProbeTokens(
        token_ids=[*prefix, *encoded["input_ids"]],
        answer_begin=len(prefix) + answer_positions[0],
        span_begin=len(prefix) + span[0],
        span_end=len(prefix) + span[-1] + 1,
    )


@torch.inference_mode()
def copy_scores(model: Any, probe: ProbeTokens) -> CopyResult:
    """The retrieval score of every head on one probe, from one forward in the model's dtype.

    Computes only the argmax of float32 q·k over the visible keys, and only for the rows that predict the answer. Row
    t-1 predicts token t, so a head copies token t if the argmax of row t-1 is a position that holds token t.
    """
    device = next(model.parameters()).device
    token_ids = torch.tensor(probe.token_ids, device=device)  # (T,)
    rows = slice(probe.answer_begin - 1, len(probe.token_ids) - 1)
    answer = token_ids[probe.answer_begin :]  # (N,)
    by_layer: dict[int, list[float]] = {}

    def observe(layer: int, query: Tensor, key: Tensor, _value: Tensor, visible: Tensor | None, _out: Tensor) -> None:
        attended = _most_attended(
            query[0], key[0], rows=rows, visible=None if visible is None else visible[0, 0]
        )  # (H, N)
        by_layer[layer] = _copied_share(
            attended, token_ids, answer=answer, span_begin=probe.span_begin, span_end=probe.span_end
        )

    remove = install_observer(model, observe)
    try:
        hidden = model.base_model(input_ids=token_ids[None], use_cache=False).last_hidden_state  # (1, T, C)
    finally:
        remove()
    predicted = LMHead(model)(hidden[0, rows]).argmax(-1)  # (N,)
    return CopyResult(
        num_answer_tokens=len(answer),
        num_correct=int((predicted == answer).sum()),
        retrieval_scores=[by_layer[layer] for layer in sorted(by_layer)],
    )


def _most_attended(query: Tensor, key: Tensor, rows: slice, visible: Tensor | None) -> Tensor:
    """Positions (H, N) of each head's highest attention score in N rows; query (H, T, D), key (G, T, D), any float.

    visible (T, T) bool, or None for plain causality. The scores are not scaled: the scale is positive and the same for
    all keys, so it does not move the argmax.
    """
    num_heads, num_tokens, _ = query.shape
    if visible is None:
        visible = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=query.device).tril()
    # In float32, because half-precision scores are often equal, and then the argmax depends on their order.
    keys = key.float().repeat_interleave(num_heads // key.shape[0], dim=0)  # (H, T, D)
    scores = query[:, rows].float() @ keys.transpose(1, 2)  # (H, N, T)
    return scores.masked_fill(~visible[rows], -torch.inf).argmax(-1)


def _copied_share(attended: Tensor, token_ids: Tensor, answer: Tensor, span_begin: int, span_end: int) -> list[float]:
    """Each head's share of the distinct tokens of answer (N,) that it copied, from attended positions (H, N).

    A head copies a token when the position that it attends to most holds that token and lies in the queried value; the
    same token elsewhere in the prompt does not count. These are sets, as in the source: |g ∩ k| / |k|.
    """
    in_span = (attended >= span_begin) & (attended < span_end)
    copied = in_span & (token_ids[attended] == answer)  # (H, N)
    distinct, index = torch.unique(answer, return_inverse=True)
    times = torch.zeros(len(attended), len(distinct), device=answer.device).index_add_(1, index, copied.float())
    return (times > 0).double().mean(1).tolist()


def mean_scores(results: Sequence[CopyResult]) -> dict[Head, float]:
    """Each head's mean retrieval score over the probes that the model answered; ValueError if there are none."""
    answered = [result for result in results if result.answered]
    if not answered:
        raise ValueError(
            f"the model answered none of {len(results)} probes (more than half of the answer's tokens right); "
            "use shorter probes (--probe-tokens) or a model that can follow them"
        )
    means = torch.tensor([result.retrieval_scores for result in answered], dtype=torch.float64).mean(0)  # (L, H)
    return {(layer, head): float(means[layer, head]) for layer in range(len(means)) for head in range(len(means[0]))}
