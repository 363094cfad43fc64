"""(5) vLLM, prompt_logprobs twice: two engines that share the GPU, each with its own saved copy of the model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.contenders.two_models import load_both, relative_rise
from tests.benchmarks.workloads import WINDOW, Workload


def prepare(workload: Workload, dtype: str | None = None) -> Callable[[Sequence[str]], list[float]]:
    """Save both models, and start an engine on each; returns the function that scores texts."""
    from vllm import LLM, SamplingParams

    base, masked, tokenizer = load_both(workload, dtype)
    folder = Path(tempfile.mkdtemp())
    for name, model in (("base", base), ("masked", masked)):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    del base, masked, model
    torch.cuda.empty_cache()
    engines = [
        LLM(
            str(folder / name),
            dtype=dtype or workload.dtype,
            max_model_len=WINDOW + 1,
            gpu_memory_utilization=0.4,
            max_num_batched_tokens=workload.max_batch_tokens,
            enable_prefix_caching=False,
        )
        for name in ("base", "masked")
    ]
    # prompt_logprobs=0 asks for the prompt's own tokens only; one token must be generated.
    parameters = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)

    def nll(output: Any) -> float:
        tokens = zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:], strict=True)
        return -sum(float(logprobs[token].logprob) for token, logprobs in tokens)

    def score(texts: Sequence[str]) -> list[float]:
        prompts = [{"prompt_token_ids": tokenizer(text, add_special_tokens=False)["input_ids"]} for text in texts]
        outputs = [engine.generate(prompts, parameters, use_tqdm=False) for engine in engines]
        return [relative_rise(nll(one), nll(other)) for one, other in zip(*outputs, strict=True)]

    return score
