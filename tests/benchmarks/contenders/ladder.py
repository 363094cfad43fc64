"""The first rungs to the scorer: each adds one technique to the one before, so that its worth is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tests.benchmarks.contenders.two_models import load_both, relative_rise
from tests.benchmarks.workloads import Workload, load
from udfs.attention import heads_by_layer, use_attention
from udfs.batches import pad_right, token_budget_batches
from udfs.lm_head import LMHead
from udfs.loss import next_token_losses, row_sums
from udfs.windows import Window

Score = Callable[[Sequence[str]], list[float]]


def two_models_sliced_loss(workload: Workload, dtype: str | None = None) -> Score:
    """Two models, sorted, no attention mask, and the loss from slices of the vocabulary."""
    base, masked, tokenizer = load_both(workload, dtype)
    heads = [(model, LMHead(model)) for model in (base, masked)]

    def sums(ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        hidden = [model.base_model(input_ids=ids, use_cache=False).last_hidden_state for model, _ in heads]
        losses = [next_token_losses(h, ids, lengths, head) for h, (_, head) in zip(hidden, heads, strict=True)]
        return torch.cat([row_sums(each, lengths) for each in losses])

    return _over_batches(workload, tokenizer, sums)


def paired_without_sharing(workload: Workload, dtype: str | None = None) -> Score:
    """One model, rows stacked [base; masked] from the first layer on."""
    model, tokenizer = load(workload, dtype)
    head, masked = LMHead(model), heads_by_layer(workload.heads)

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        if module.layer_idx in masked:
            query = query.clone()
            query[len(query) // 2 :, masked[module.layer_idx]] = 0
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)

    use_attention(model, attend)

    def sums(ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        hidden = model.base_model(input_ids=torch.cat([ids, ids]), use_cache=False).last_hidden_state
        return row_sums(next_token_losses(hidden, ids, lengths, head), lengths)

    return _over_batches(workload, tokenizer, sums)


def _over_batches(workload: Workload, tokenizer: Any, sums: Callable[..., torch.Tensor]) -> Score:
    """Scores from sums(ids, lengths) -> (2B,) over sorted batches of the workload's size."""

    @torch.inference_mode()
    def score(texts: Sequence[str]) -> list[float]:
        windows = [Window(i, tokenizer(text, add_special_tokens=False)["input_ids"]) for i, text in enumerate(texts)]
        scores = [0.0] * len(texts)
        for batch in token_budget_batches(windows, workload.max_batch_tokens):
            ids, lengths = pad_right(batch, 0, torch.device(workload.device))
            both = sums(ids, lengths).view(2, len(batch)).T.tolist()
            for window, losses in zip(batch, both, strict=True):
                scores[window.document] = relative_rise(*losses)
        return scores

    return score
