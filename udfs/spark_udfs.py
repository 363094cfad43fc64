"""The two pandas_udfs: paired scores of texts, and copy scores of probes. The only module here that knows Spark.

A Python worker loads a model once and keeps it for all the partitions that it is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from pyspark import TaskContext
from pyspark.sql.pandas.functions import pandas_udf

from udfs.attention import Head, MaskMode
from udfs.checkpoint import Checkpoint, load_model, load_tokenizer, resolve_dtype
from udfs.memory import keep_freed_memory
from udfs.paired import PairedScorer
from udfs.retrieval import copy_scores, tokenize_probe

SCORE_TYPE = (
    "status string, num_tokens bigint, num_predicted_tokens bigint, num_windows int, num_float32_windows int, "
    "base_nll_sum double, masked_nll_sum double, base_loss double, masked_loss double, influence_score double, "
    "error_class string, error_message string"
)
COPY_TYPE = "num_answer_tokens int, num_correct int, retrieval_scores array<array<double>>"


@dataclass(frozen=True)
class ModelSpec:
    """How a worker loads a model: pickled into the UDF, so it names the weights and never holds them.

    num_threads: CPU threads for torch; None takes the task's share (spark.task.cpus).
    """

    checkpoint: Checkpoint
    dtype: str
    num_threads: int | None = None


@dataclass(frozen=True)
class ScorerSpec:
    """How a worker makes a PairedScorer."""

    model: ModelSpec
    heads: tuple[Head, ...]
    mode: MaskMode
    window: int
    max_batch_tokens: int | None = None
    compiled: bool = False


# (what was loaded, on which device) -> the object. Of one job: a worker serves one at a time. On each device that its
# executor has: Spark gives a worker another address from task to task, so an executor is best given one GPU.
_loaded: dict[tuple[object, str], Any] = {}
# Loads by this process, for the log and for the test that counts them.
num_loads = 0


def paired_score_udf(spec: ScorerSpec) -> Any:
    """A scalar-iterator pandas_udf: text -> struct of SCORE_TYPE, one row for each text, in order.

    Non-deterministic to the planner: otherwise a filter on its result runs the model twice.
    """

    def score(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        scorer = _load_once(spec, spec.model, lambda model, tokenizer: _make_scorer(spec, model, tokenizer))
        for scores in scorer.score_stream(batch.tolist() for batch in batches):
            yield pd.DataFrame.from_records([asdict(score) for score in scores])

    return pandas_udf(score, SCORE_TYPE).asNondeterministic()  # type: ignore[call-overload]


def copy_score_udf(spec: ModelSpec) -> Any:
    """A scalar-iterator pandas_udf: (prompt, answer, value_start, value_end) -> struct of COPY_TYPE."""

    def score(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.DataFrame]:
        model, tokenizer = _load_once(spec, spec, lambda model, tokenizer: (model, tokenizer))
        for columns in batches:
            probes = [tokenize_probe(tokenizer, *values) for values in zip(*columns, strict=True)]
            yield pd.DataFrame.from_records([asdict(copy_scores(model, probe)) for probe in probes])

    return pandas_udf(score, COPY_TYPE).asNondeterministic()  # type: ignore[call-overload]


def task_device() -> str:
    """The device of this task: the only visible GPU, else the one that Spark assigned, else the CPU.

    A reused worker of an executor with two GPUs is given one address now and the other later: it then has a model on
    each.
    """
    if not torch.cuda.is_available():
        return "cpu"
    context = TaskContext.get()
    if torch.cuda.device_count() == 1 or context is None or "gpu" not in context.resources():
        return "cuda:0"
    return f"cuda:{context.resources()['gpu'].addresses[0]}"


def _load_once(key: object, spec: ModelSpec, make: Callable[[Any, Any], Any]) -> Any:
    """What make builds of the model and tokenizer of spec, built at most once for a key and device."""
    global num_loads
    device = task_device()
    torch.set_num_threads(spec.num_threads or _task_cpus())
    if (key, device) not in _loaded:
        keep_freed_memory()
        for other in [loaded for loaded in _loaded if loaded[0] != key]:
            del _loaded[other]
        model = load_model(spec.checkpoint, resolve_dtype(spec.dtype, device), device)
        _loaded[key, device] = make(model, load_tokenizer(spec.checkpoint))
        num_loads += 1
    return _loaded[key, device]


def _make_scorer(spec: ScorerSpec, model: Any, tokenizer: Any) -> PairedScorer:
    return PairedScorer(
        model, tokenizer, spec.heads, spec.mode, spec.window, spec.max_batch_tokens, compiled=spec.compiled
    )


def _task_cpus() -> int:
    context = TaskContext.get()
    return context.cpus() if context is not None else os.cpu_count() or 1
