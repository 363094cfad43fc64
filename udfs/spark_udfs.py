"""The pandas_udfs: paired scores of texts, copy scores of probes, and the figures of a scorer's model on plain text.

This is the only module here that imports Spark. A Python worker loads a model once and keeps it for all of its
partitions. On an executor with several GPUs, the model moves to the GPU of each task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from pyspark import TaskContext
from pyspark.sql.pandas.functions import pandas_udf

from udfs.checkpoint import load_model, load_tokenizer
from udfs.head_mask import Head, MaskMode
from udfs.known_checkpoints import Checkpoint
from udfs.machine import num_cores
from udfs.memory import keep_freed_memory
from udfs.paired import PairedScorer
from udfs.plausible import PlainTextFigures, plain_text_figures, require_plausible
from udfs.precision import resolve_dtype
from udfs.retrieval import copy_scores, tokenize_probe

SCORE_TYPE = (
    "status string, num_tokens bigint, num_predicted_tokens bigint, num_windows int, num_float32_windows int, "
    "base_nll_sum double, masked_nll_sum double, base_loss double, masked_loss double, influence_score double, "
    "error_class string, error_message string"
)
FIGURES_TYPE = "tokens_per_byte double, loss double, vocab_size int"
COPY_TYPE = "num_answer_tokens int, num_correct int, retrieval_scores array<array<double>>"


@dataclass(frozen=True)
class ModelSpec:
    """How a worker loads a model. It is pickled into the UDF, so it names the weights instead of holding them.

    num_threads: torch's CPU threads; None takes the task's share (spark.task.cpus). allow_implausible: also load a
    model that does not know plain English and code.
    """

    checkpoint: Checkpoint
    dtype: str
    num_threads: int | None = None
    allow_implausible: bool = False


@dataclass(frozen=True)
class ScorerSpec:
    """How a worker makes a PairedScorer."""

    model: ModelSpec
    heads: tuple[Head, ...]
    mode: MaskMode
    window: int
    max_batch_tokens: int | None = None
    compiled: bool = False


@dataclass
class _Loaded:
    """A model on a device, its figures on plain text, and what was made from it for the job with this key."""

    key: object
    device: str
    model: Any
    figures: PlainTextFigures
    made: Any


# Only one, because a worker serves one job at a time.
_loaded: _Loaded | None = None
# How often this process loaded a model, for the log and for tests.
num_loads = 0


def paired_score_udf(spec: ScorerSpec) -> Any:
    """A scalar-iterator pandas_udf: text -> struct of SCORE_TYPE, one row per text, in order.

    Declared non-deterministic, because otherwise a filter on its result would run the model twice.
    """

    def score(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        scorer = _load_scorer(spec).made
        try:
            for scores in scorer.score_stream(batch.tolist() for batch in batches):
                yield pd.DataFrame.from_records([asdict(score) for score in scores])
        finally:
            _leave_device()

    return pandas_udf(score, SCORE_TYPE).asNondeterministic()  # type: ignore[call-overload]


def plain_text_udf(spec: ScorerSpec) -> Any:
    """A scalar-iterator pandas_udf: anything -> struct of FIGURES_TYPE, the figures of the scorer's model.

    Afterwards, the worker has the model for paired_score_udf of the same spec.
    """

    def figures(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        record = asdict(_load_scorer(spec).figures)
        try:
            for batch in batches:
                yield pd.DataFrame.from_records([record] * len(batch))
        finally:
            _leave_device()

    return pandas_udf(figures, FIGURES_TYPE).asNondeterministic()  # type: ignore[call-overload]


def copy_score_udf(spec: ModelSpec) -> Any:
    """A scalar-iterator pandas_udf: (prompt, answer, value_start, value_end) -> struct of COPY_TYPE."""

    def score(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.DataFrame]:
        model, tokenizer = _load_once(spec, spec, lambda model, tokenizer: (model, tokenizer)).made
        try:
            for columns in batches:
                probes = [tokenize_probe(tokenizer, *values) for values in zip(*columns, strict=True)]
                yield pd.DataFrame.from_records([asdict(copy_scores(model, probe)) for probe in probes])
        finally:
            _leave_device()

    return pandas_udf(score, COPY_TYPE).asNondeterministic()  # type: ignore[call-overload]


def task_device() -> str:
    """The device of this task: the GPU that Spark assigned, or the first one if there is no choice, or the CPU."""
    if not torch.cuda.is_available():
        return "cpu"
    context = TaskContext.get()
    if torch.cuda.device_count() == 1 or context is None or "gpu" not in context.resources():
        return "cuda:0"
    return f"cuda:{context.resources()['gpu'].addresses[0]}"


def move_model(model: Any, device: str) -> None:
    """Move the model to another device, in place."""
    model.to(device)
    _leave_device()


def _leave_device() -> None:
    """Release freed GPU memory that torch still holds, where another worker's task may be the next one on this GPU."""
    if torch.cuda.is_available() and torch.cuda.device_count() > 1:
        torch.cuda.empty_cache()


def _load_scorer(spec: ScorerSpec) -> _Loaded:
    """The model of spec with its figures; what was made from it is the PairedScorer."""
    return _load_once(spec, spec.model, lambda model, tokenizer: _make_scorer(spec, model, tokenizer))


def _load_once(key: object, spec: ModelSpec, make: Callable[[Any, Any], Any]) -> _Loaded:
    """The model of spec on the task's device, and what make builds from it and its tokenizer, once per key.

    Raises ValueError where the model does not know plain English and code, unless spec allows that. Each process checks
    its own model, because on another machine the same name may stand for another one.

    On an executor with two GPUs, Spark assigns a reused worker one address now and the other later. Only one task has
    an address at a time, so moving the model there never puts two tasks on one GPU. The weights of an idle worker stay
    on the GPU that it had last.
    """
    global _loaded, num_loads
    device = task_device()
    torch.set_num_threads(spec.num_threads or _task_cpus())
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    if _loaded is None or _loaded.key != key:
        # Freed before the next one is loaded, because memory may be too little for both.
        _loaded = None
        if device == "cpu":
            keep_freed_memory()
        model = load_model(spec.checkpoint, resolve_dtype(spec.dtype, device), device)
        tokenizer = load_tokenizer(spec.checkpoint)
        # Measured before make, which masks the model. Checked after make, whose errors are more precise.
        figures = plain_text_figures(model, tokenizer)
        made = make(model, tokenizer)
        require_plausible(figures, spec.checkpoint.name, allow=spec.allow_implausible)
        _loaded = _Loaded(key, device, model=model, figures=figures, made=made)
        num_loads += 1
    elif _loaded.device != device:
        move_model(_loaded.model, device)
        _loaded.device = device
    return _loaded


def _make_scorer(spec: ScorerSpec, model: Any, tokenizer: Any) -> PairedScorer:
    return PairedScorer(
        model,
        tokenizer,
        heads=spec.heads,
        mode=spec.mode,
        window=spec.window,
        max_batch_tokens=spec.max_batch_tokens,
        compiled=spec.compiled,
    )


def _task_cpus() -> int:
    context = TaskContext.get()
    return context.cpus() if context is not None else num_cores()
