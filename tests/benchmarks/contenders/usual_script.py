"""(1) The usual script: two models, one document at a time, the library's own loss over full logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from tests.benchmarks.contenders.two_models import load_both, relative_rise
from tests.benchmarks.workloads import Workload


def prepare(workload: Workload, dtype: str | None = None) -> Callable[[Sequence[str]], list[float]]:
    """Load both models; returns the function that scores texts."""
    base, masked, tokenizer = load_both(workload, dtype)

    @torch.inference_mode()
    def score(texts: Sequence[str]) -> list[float]:
        scores = []
        for text in texts:
            ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"].to(base.device)
            losses = [model(input_ids=ids, labels=ids, use_cache=False).loss.item() for model in (base, masked)]
            scores.append(relative_rise(*losses))
        return scores

    return score
