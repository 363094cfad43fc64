"""(4) lm-evaluation-harness, loglikelihood_rolling twice. It predicts the first token too, after an end-of-text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.benchmarks.contenders.two_models import load_both, relative_rise
from tests.benchmarks.workloads import WINDOW, Workload


def prepare(workload: Workload, dtype: str | None = None) -> Callable[[Sequence[str]], list[float]]:
    """Load both models into the harness; returns the function that scores texts."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    base, masked, tokenizer = load_both(workload, dtype)
    tokenizer.split_special_tokens = False
    # It batches by number: of at most the workload's tokens, were all documents as long as the longest.
    batch_size = max(1, workload.max_batch_tokens // max(workload.num_tokens))
    both = [
        HFLM(pretrained=model, tokenizer=tokenizer, max_length=WINDOW, batch_size=batch_size)
        for model in (base, masked)
    ]

    def score(texts: Sequence[str]) -> list[float]:
        # It batches rolling requests as they come: by length, so that they need little padding.
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        requests = [
            Instance(request_type="loglikelihood_rolling", doc={}, arguments=(texts[index],), idx=index)
            for index in order
        ]
        sums = [model.loglikelihood_rolling(requests, disable_tqdm=True) for model in both]
        scores = [0.0] * len(texts)
        for index, base_sum, masked_sum in zip(order, *sums, strict=True):
            # Sums, not means: both models predict the same number of tokens.
            scores[index] = relative_rise(-base_sum, -masked_sum)
        return scores

    return score
