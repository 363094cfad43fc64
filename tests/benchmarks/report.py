"""The results as tables, as JSON, and as RESULTS.md."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, LlamaConfig

from jobs.terminal.display import plain_table
from tests.benchmarks.contenders.padded_batches import by_tokens, of_eight
from tests.benchmarks.flops import peak_flops
from tests.benchmarks.rounds import Timing
from tests.benchmarks.workloads import SHAPES, Workload
from udfs.checkpoint import resolve_checkpoint
from udfs.flops import useful_flops

COLUMNS = [
    "contender",
    "tokens/s",
    "slowest - fastest",
    "of (3)",
    "TFLOP/s",
    "MFU",
    "padding",
    "memory",
    "start",
    "score",
]

# Documents that the oracle reads: all on a CPU, where a mix has few.
ORACLE_DOCUMENTS = 64
# What by-hand measurements said, for whoever would try it again.
LEFT_OUT = Path(__file__).parent / "left_out.md"


@dataclass(frozen=True)
class Result:
    """A workload's timings, and the oracle's scores of its first documents."""

    workload: Workload
    timings: list[Timing]
    oracle: list[float]


def rows(result: Result, fair: str) -> list[dict[str, Any]]:
    """One mapping a contender; a failed one has only its name and why."""
    workload = result.workload
    num_tokens = sum(workload.num_tokens)
    flops = useful_flops(config_of(workload.model), workload.heads[0][0], workload.num_tokens)
    baseline = next((timing for timing in result.timings if timing.contender.name == fair), None)
    found = []
    for timing in result.timings:
        row: dict[str, Any] = {"contender": timing.contender.name, "failure": timing.failure}
        found.append(row)
        if timing.failure:
            continue
        dtype = timing.contender.dtype or workload.dtype
        row["tokens_per_second"] = num_tokens / timing.median
        row["slowest"], row["fastest"] = num_tokens / max(timing.seconds), num_tokens / min(timing.seconds)
        # Round by round: a machine that is slow for a while is slow for both.
        pairs = zip(timing.seconds, baseline.seconds if baseline else [], strict=False)
        ratios = [theirs / ours for ours, theirs in pairs]
        row["ratio_to_fair"] = statistics.median(ratios) if ratios else None
        row["useful_flops_per_second"] = flops / timing.median
        row["mfu"] = flops / timing.median / peak(workload.device, dtype)[0]
        row["padding_share"] = padding_share(timing, workload)
        # vLLM's engines are processes of their own.
        row["peak_bytes"] = None if timing.contender.module == "vllm" else timing.peak_bytes
        row["startup_seconds"] = timing.startup_seconds
        pairs = zip(timing.scores, result.oracle, strict=False)
        # Of nothing, where the oracle failed.
        row["largest_score_difference"] = max((abs(ours - oracle) for ours, oracle in pairs), default=math.nan)
        row["time_shares"] = timing.parts
    return found


def table(result: Result, fair: str) -> str:
    """The rows as plain text."""
    lines = []
    for row in rows(result, fair):
        if row["failure"]:
            lines.append([row["contender"], row["failure"], *[""] * (len(COLUMNS) - 2)])
            continue
        padding = "own" if row["padding_share"] is None else f"{row['padding_share']:.1%}"
        lines.append(
            [
                row["contender"],
                f"{row['tokens_per_second']:,.0f}",
                f"{row['slowest']:,.0f} - {row['fastest']:,.0f}",
                f"{row['ratio_to_fair']:.2f}" if row["ratio_to_fair"] else "",
                f"{row['useful_flops_per_second'] / 1e12:.3g}",
                f"{row['mfu']:.0%}",
                padding,
                "own" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.1f} GiB",
                f"{row['startup_seconds']:.0f} s",
                f"{row['largest_score_difference']:.1e}",
            ]
        )
    return plain_table(COLUMNS, lines)


def padding_share(timing: Timing, workload: Workload) -> float | None:
    """The share of a pass's tokens that are padding; None where the contender batches by itself."""
    if timing.contender.module in ("lm_eval", "vllm"):
        return None
    if timing.num_read is not None:
        return 1 - sum(workload.num_tokens) / timing.num_read
    documents = [[0] * length for length in workload.num_tokens]
    batches: Any = by_tokens(workload.max_batch_tokens)
    if timing.contender.module == "usual_script":
        batches = by_tokens(1)
    elif timing.contender.module == "padded_batches" and not timing.contender.options:
        batches = of_eight
    padded = sum(len(batch) * max(len(documents[index]) for index in batch) for batch in batches(documents))
    return 1 - sum(workload.num_tokens) / padded


def spearman(left: list[float], right: list[float]) -> float:
    """Rank correlation of scores without ties."""

    def ranks(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64).argsort().argsort().double()

    return float(torch.corrcoef(torch.stack([ranks(left), ranks(right)]))[0, 1])


@cache
def peak(device: str, dtype: str) -> tuple[float, str]:
    """The device's peak, measured once; float32's where a CPU only emulates the format, and is slower in it."""
    own = peak_flops(device, dtype)
    return own if device != "cpu" or dtype == "float32" else max(own, peak(device, "float32"))


@cache
def config_of(model: str) -> Any:
    """The model's configuration."""
    if model in SHAPES:
        return LlamaConfig(**SHAPES[model])
    return AutoConfig.from_pretrained(resolve_checkpoint(model).path)


def write_report(results: list[Result], formats: Result, arguments: argparse.Namespace, fair: str, ours: str) -> str:
    """Write RESULTS.md and results.json into the folder arguments.out; returns what stands in the former."""
    sections = [_head(arguments)]
    for result in results:
        workload = result.workload
        count = f"{len(workload.texts)} documents, {sum(workload.num_tokens):,} tokens"
        sections.append(f"## {workload.name}\n\n{count}.\n\n```text\n{table(result, fair)}\n```")
    sections += [_formats(formats), _goals(results, fair, ours), _bound(results, ours), LEFT_OUT.read_text().strip()]
    text = "\n\n".join(sections) + "\n"
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "RESULTS.md").write_text(text, encoding="utf-8")
    content = {
        "machine": machine(arguments),
        "results": [{"workload": result.workload.name, "contenders": rows(result, fair)} for result in results],
        "formats": format_rows(formats),
    }
    (arguments.out / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return text


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the numbers were measured on."""
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        name = next((s.split(":")[1].strip() for s in info.read_text().splitlines() if "model name" in s), name)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else name,
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "batch_tokens": arguments.batch_tokens,
        "rounds": arguments.rounds,
        **{f"peak_{d}": peak(arguments.device, d)[0] for d in ("float32", "bfloat16")},
    }


def _head(arguments: argparse.Namespace) -> str:
    facts = machine(arguments)
    peaks = ", ".join(
        f"{facts[f'peak_{d}'] / 1e12:.3g} TFLOP/s in {d} ({peak(arguments.device, d)[1]})"
        for d in ("float32", "bfloat16")
    )
    machine_line = f"{facts['device']}, {facts['threads']} threads on {facts['cores']} cores"
    versions = f"Python {facts['python']}, torch {facts['torch']}, transformers {facts['transformers']}"
    order = "their rounds alternate" if arguments.device == "cpu" else "one after the other, for the GPU's memory"
    vllm = "\n(5) vLLM needs a GPU, and was not run." if arguments.device == "cpu" else ""
    return f"""# How fast documents are scored

Written by `make bench` (`python -m tests.benchmarks`) on {facts["date"]}. {machine_line}; {versions};
{facts["batch_tokens"]:,} tokens in a pass. Peak: {peaks}.

Every contender scores the same texts, tokenising included, in a process of its own, {facts["rounds"]} rounds; {order}.
*tokens/s* are document tokens, no padding, with both losses: the median, then the slowest and fastest round.
*of (3)* is the median over the rounds of its speed over that of the fair baseline. *TFLOP/s* and *MFU* count what
the cheapest exact way needs, the same for all: layers below the first masked one once, causal attention by half.
*memory* is the process's largest, its mapped weights included (on a GPU what torch allocated). *start* is apart from
the rounds: load, compile, first documents. *score* is the largest difference of a score from the oracle, the
usual script in float32, among the first {ORACLE_DOCUMENTS} documents. (4) predicts each document's first token
too, so that its scores are others.{vllm}
"(3) + no mask" is (3) without its padding masks, and each row with a + below it adds one technique to the one above.
From "+ shared layers" on it is the scorer, which sorts what it has read so far."""


def format_rows(result: Result) -> list[dict[str, Any]]:
    """Each number format's speed and its agreement with the oracle."""
    num_tokens = sum(result.workload.num_tokens)
    return [
        {"format": timing.contender.name, "failure": timing.failure or "the oracle failed"}
        if timing.failure or not result.oracle
        else {
            "format": timing.contender.name,
            "tokens_per_second": num_tokens / timing.median,
            "spearman": spearman(timing.scores, result.oracle),
            "largest_score_difference": max(abs(a - b) for a, b in zip(timing.scores, result.oracle, strict=True)),
        }
        for timing in result.timings
    ]


def _formats(result: Result) -> str:
    lines = [
        [row["format"], row["failure"], "", ""]
        if row.get("failure")
        else [
            row["format"],
            f"{row['tokens_per_second']:,.0f}",
            f"{row['spearman']:.5f}",
            f"{row['largest_score_difference']:.1e}",
        ]
        for row in format_rows(result)
    ]
    header = ["number format", "tokens/s", "Spearman", "largest difference of a score"]
    return (
        f"## Number formats\n\n{len(result.workload.texts)} documents ({result.workload.mix}), one round, against the "
        f"oracle.\n\n```text\n{plain_table(header, lines)}\n```"
    )


def _goals(results: list[Result], fair: str, ours: str) -> str:
    """How many times as fast as (3) and (1) in the workload's number format, and in another one as (1) in that one."""
    names = [timing.contender.name for result in results for timing in result.timings]
    other_format = next((name for name in names if name.startswith("the scorer in ")), "the scorer in another format")

    def seconds(result: Result, name: str) -> list[float]:
        found = [timing.seconds for timing in result.timings if timing.contender.name.startswith(name)]
        return found[0] if found else []

    lines = []
    for result in results:
        ratios = []
        for other, name in ((fair, ours), ("(1)", ours), ("(1)", other_format)):
            pairs = list(zip(seconds(result, other), seconds(result, name), strict=False))
            ratios.append(f"{statistics.median(a / b for a, b in pairs):.2f}" if pairs else "")
        lines.append([result.workload.name, *ratios])
    header = ["workload", "the scorer over (3)", "the scorer over (1)", f"{other_format} over (1)"]
    own = results[0].workload.dtype if results else ""
    title = f"## Times as fast\n\nMedians over the rounds; (1) and (3) are in {own}."
    return f"{title}\n\n```text\n{plain_table(header, lines)}\n```"


def _bound(results: list[Result], ours: str) -> str:
    found = [(result.workload.name, row) for result in results for row in rows(result, "") if row["contender"] == ours]
    found = [(name, row) for name, row in found if not row["failure"] and not math.isnan(row["mfu"])]
    title = "## What bounds the speed now"
    if not found:
        return f"{title}\n\nNot measured."
    sentences = []
    for name, row in found:
        shares = ", ".join(f"{share:.0%} {part}" for part, share in row["time_shares"].items())
        sentences.append(f"{name}: {shares}, at {row['mfu']:.0%} of the peak.")
    left = [1 / row["mfu"] for _, row in found]
    # Once where they are equal.
    times = " to ".join(dict.fromkeys(f"{bound:.1f}" for bound in (min(left), max(left))))
    text = "The scorer's time goes to matrix products and attention, both by the libraries' kernels; by profile: "
    rest = f"At the peak it would be {times} times as fast."
    return f"{title}\n\n{text}{' '.join(sentences)} {rest}"
