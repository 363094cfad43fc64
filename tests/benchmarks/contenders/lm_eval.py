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
    # Batches of at most the workload's tokens, could they all be full windows; one at a time gives no padding.
    batch_size = max(1, workload.max_batch_tokens // max(workload.num_tokens))
    both = [
        HFLM(pretrained=model, tokenizer=tokenizer, max_length=WINDOW, batch_size=batch_size)
        for model in (base, masked)
    ]

    def score(texts: Sequence[str]) -> list[float]:
        requests = [
            Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=index)
            for index, text in enumerate(texts)
        ]
        # Sums, not means: both models predict the same number of tokens.
        sums = [model.loglikelihood_rolling(requests, disable_tqdm=True) for model in both]
        return [relative_rise(-base_sum, -masked_sum) for base_sum, masked_sum in zip(*sums, strict=True)]

    return score
