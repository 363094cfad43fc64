"""python -m tests.benchmarks: every contender on every mix, with its accuracy; writes RESULTS.md and results.json."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.benchmarks.report import ORACLE_DOCUMENTS, Result, table, write_report
from tests.benchmarks.rounds import Contender, run_rounds
from tests.benchmarks.workloads import MIXES, SHAPES, SMOLLM2_HEADS, Workload, make_workload
from udfs.head_mask import Head
from udfs.paired import BATCH_TOKENS

SMOLLM2 = "smollm2-135m"
FAIR = "(3) two models, sorted by length"
OURS = "+ packed windows: the scorer"
CONTENDERS = [
    Contender("(1) usual script", "usual_script"),
    Contender("(2) batches of 8, padding masks", "padded_batches"),
    Contender(FAIR, "padded_batches", options=(("by_tokens", True),)),
    Contender("(4) lm-evaluation-harness twice", "lm_eval"),
    Contender("(5) vLLM prompt_logprobs twice", "vllm"),
    Contender("(3) + no mask", "padded_batches", options=(("by_tokens", True), ("attention_mask", False))),
    Contender("+ loss from slices", "ladder", "two_models_sliced_loss"),
    Contender("+ paired rows", "ladder", "paired_without_sharing"),
    Contender("+ shared layers", "ours", "paired", options=(("keep_memory", False), ("packed", False))),
    Contender("+ kept memory", "ours", "paired", options=(("packed", False),)),
    Contender(OURS, "ours", "paired"),
    Contender("+ compiled layers", "ours", "paired", options=(("compiled", True),)),
]
# What is timed; beside it, the accuracy of all FORMATS is measured wherever they run, however slowly.
# On a GPU nothing is kept from the allocator, and the scorer adds in float32, which the rows before it do not.
ON_GPUS = {
    "+ shared layers": Contender("+ shared layers", "ours", "paired", options=(("packed", False), ("rounded", True))),
    "+ kept memory": Contender("+ sums in float32", "ours", "paired", options=(("packed", False),)),
}
# Compiled: by itself the rounding to 8 bits is passes over memory, which may cost what the products gain.
FP8 = Contender("the scorer with FP8 products", "ours", "paired", options=(("fp8", True), ("compiled", True)))
DTYPES = {"cpu": ("bfloat16",), "cuda": ("bfloat16", "float16")}
# Of a mix, in tokens, where --tokens does not say. On a CPU so few that five rounds of a dozen contenders take an hour
# and a half: one full window, and some documents of each of the other lengths.
NUM_TOKENS = {"cpu": dict(zip(MIXES, (4_096, 6_000, 2_000), strict=True)), "cuda": dict.fromkeys(MIXES, 500_000)}
FORMATS = ("float32", "bfloat16", "float16")
ORACLE = Contender("oracle: (1) in float32", "usual_script", dtype="float32")


def main() -> None:
    """Run the benchmark that the arguments describe, and write what came out."""
    arguments = parse()
    # The peak is measured with as many threads as the contenders have.
    torch.set_num_threads(arguments.threads)
    models = arguments.models or (["llama-1.3b", "llama-3.2-1b"] if arguments.device == "cuda" else [SMOLLM2])
    models = [smollm2() if model == SMOLLM2 else model for model in models]
    results = []
    for model in models:
        for heads in masks(model):
            for mix in arguments.mixes:
                num_tokens = arguments.tokens or NUM_TOKENS[arguments.device][mix]
                args = (mix, model, heads, arguments.device, num_tokens, arguments.batch_tokens)
                results.append(run(make_workload(*args), arguments))
                print(table(results[-1], FAIR), flush=True)
    print(write_report(results, accuracy(models[0], arguments), arguments, FAIR, OURS))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--models", nargs="*", choices=[SMOLLM2, *SHAPES])
    parser.add_argument("--mixes", nargs="*", default=list(MIXES), choices=MIXES)
    parser.add_argument("--only", nargs="*", default=[], help="only contenders whose names contain one of these")
    parser.add_argument("--tokens", type=int, help="document tokens of a mix")
    parser.add_argument("--batch-tokens", type=int, help="tokens in a pass")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accuracy-documents", type=int, help="documents that are scored in each number format")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    arguments.accuracy_documents = arguments.accuracy_documents or (60 if arguments.device == "cpu" else 2_000)
    arguments.batch_tokens = arguments.batch_tokens or BATCH_TOKENS[arguments.device]
    return arguments


def smollm2() -> str:
    """The real model that make setup installs."""
    from jobs.demo_inputs.model import demo_model_path

    return str(demo_model_path())


def masks(model: str) -> list[tuple[Head, ...]]:
    """The real model's own heads; for random weights 16 heads with the first at 10 % and at 30 % of the depth."""
    if model not in SHAPES:
        return [SMOLLM2_HEADS]
    num_layers, num_heads = SHAPES[model]["num_hidden_layers"], SHAPES[model]["num_attention_heads"]
    return [
        tuple((first + number * (num_layers - first) // 16, number % num_heads) for number in range(16))
        for first in sorted({round(share * num_layers) for share in (0.1, 0.3)})
    ]


def run(workload: Workload, arguments: argparse.Namespace) -> Result:
    """All contenders on the workload, and the oracle on its first documents."""
    say(f"== {workload.name}: {len(workload.texts)} documents, {sum(workload.num_tokens):,} tokens")
    others = [Contender(f"the scorer in {d}", "ours", "paired", dtype=d) for d in DTYPES[workload.device]]
    others = [other for other in others if other.dtype != workload.dtype]
    if workload.device == "cuda":
        others.append(FP8)
    ladder = [ON_GPUS.get(found.name, found) if workload.device == "cuda" else found for found in CONTENDERS]
    chosen = [
        found
        for found in [*ladder, *others]
        if (workload.device == "cuda" or found.module != "vllm")
        and (not arguments.only or any(part in found.name for part in arguments.only))
    ]
    timings = run_rounds(chosen, workload, arguments.rounds, arguments.threads, say)
    few = replace(workload, texts=workload.texts[:ORACLE_DOCUMENTS], num_tokens=workload.num_tokens[:ORACLE_DOCUMENTS])
    (oracle,) = run_rounds([ORACLE], few, 1, arguments.threads, say)
    return Result(workload, timings, oracle.scores)


def accuracy(model: str, arguments: argparse.Namespace) -> Result:
    """The scorer in each number format beside the oracle, on enough documents to compare their ranking."""
    num_tokens = 200 * arguments.accuracy_documents
    heads = masks(model)[0]
    workload = make_workload(MIXES[-1], model, heads, arguments.device, num_tokens, arguments.batch_tokens)
    say(f"== accuracy: {len(workload.texts)} documents, {sum(workload.num_tokens):,} tokens")
    formats = [Contender(dtype, "ours", "paired", dtype=dtype) for dtype in FORMATS]
    formats.append(Contender("bfloat16 in all places", "ours", "paired", "bfloat16", (("rounded", True),)))
    if arguments.device == "cuda":
        formats.append(replace(FP8, dtype="bfloat16"))
    timings = run_rounds([*formats, ORACLE], workload, 1, arguments.threads, say)
    return Result(workload, timings, timings[-1].scores)


def say(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
