"""(2) Two models over padded batches with masks; (3) the fair one is the same, sorted and batched by tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from tests.benchmarks.contenders.two_models import load_both, relative_rise
from tests.benchmarks.workloads import Workload

Batches = Callable[[list[list[int]]], Iterator[list[int]]]


def of_eight(documents: list[list[int]]) -> Iterator[list[int]]:
    """Indices of the documents, eight at a time as they come."""
    indices = list(range(len(documents)))
    return (indices[first : first + 8] for first in range(0, len(indices), 8))


def by_tokens(max_batch_tokens: int) -> Batches:
    """Indices of the documents, longest first, in batches of at most so many tokens with their padding."""

    def batches(documents: list[list[int]]) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in sorted(range(len(documents)), key=lambda index: -len(documents[index])):
            if batch and len(documents[batch[0]]) * (len(batch) + 1) > max_batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        yield batch

    return batches


def prepare(
    workload: Workload, dtype: str | None = None, batches: Batches = of_eight, *, attention_mask: bool = True
) -> Callable[[Sequence[str]], list[float]]:
    """Load both models; returns the function that scores texts."""
    base, masked, tokenizer = load_both(workload, dtype)

    def losses(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> list[float]:
        """Mean loss of each row (B,): full logits, in float32, where the mask (B, T) is 1."""
        extra = {"attention_mask": mask} if attention_mask else {}
        logits = model(input_ids=ids, use_cache=False, **extra).logits[:, :-1].float()  # (B, T-1, V)
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        real = mask[:, 1:].double()
        means: list[float] = ((each.view(real.shape) * real).sum(1) / real.sum(1)).tolist()
        return means

    @torch.inference_mode()
    def score(texts: Sequence[str]) -> list[float]:
        documents = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        scores = [0.0] * len(texts)
        for batch in batches(documents):
            longest = max(len(documents[index]) for index in batch)
            rows = [documents[index] + [0] * (longest - len(documents[index])) for index in batch]
            mask = [[1] * len(documents[index]) + [0] * (longest - len(documents[index])) for index in batch]
            ids, real = torch.tensor(rows, device=base.device), torch.tensor(mask, device=base.device)
            for index, *both in zip(batch, losses(base, ids, real), losses(masked, ids, real), strict=True):
                scores[index] = relative_rise(*both)
        return scores

    return score
