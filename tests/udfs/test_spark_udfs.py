"""A worker's model: loaded once, and moved to where its task is."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.udfs.cases import SOME_HEADS, TEXTS, WINDOW, assert_same
from udfs import architectures, spark_udfs
from udfs.checkpoint import resolve_checkpoint
from udfs.spark_udfs import ModelSpec, ScorerSpec, _load_scorer


@pytest.fixture
def spec(tiny_model_folder: str, monkeypatch: pytest.MonkeyPatch) -> ScorerSpec:
    """A scorer of a worker that has loaded nothing yet."""
    monkeypatch.setattr(spark_udfs, "_loaded", None)
    monkeypatch.setattr(spark_udfs, "num_loads", 0)
    monkeypatch.setattr(spark_udfs, "task_device", lambda: "cpu")
    model = ModelSpec(resolve_checkpoint(tiny_model_folder), "float32", 1, allow_implausible=True)
    return ScorerSpec(model, tuple(SOME_HEADS), "uniform", WINDOW)


def scorer_of(spec: ScorerSpec) -> Any:
    return _load_scorer(spec).made


def test_a_model_is_loaded_once_and_follows_its_tasks(spec: ScorerSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = []
    move_model = spark_udfs.move_model

    def moved(model: Any, device: str) -> None:
        moves.append(device)
        move_model(model, device)

    monkeypatch.setattr(spark_udfs, "move_model", moved)
    expected = scorer_of(spec).score(TEXTS)
    # As two GPUs would be: another device for torch, of the same kind.
    for device in ("cpu:0", "cpu:0", "cpu", "cpu:0"):
        monkeypatch.setattr(spark_udfs, "task_device", lambda device=device: device)
        assert_same(scorer_of(spec).score(TEXTS), expected)
    assert moves == ["cpu:0", "cpu", "cpu:0"]
    assert spark_udfs.num_loads == 1


def test_another_job_loads_its_own_model(spec: ScorerSpec) -> None:
    first = scorer_of(spec)
    assert scorer_of(spec) is first
    other = ScorerSpec(spec.model, (SOME_HEADS[0],), "zero", WINDOW)
    assert scorer_of(other).heads == [SOME_HEADS[0]]
    assert spark_udfs.num_loads == 2


def test_a_worker_checks_the_architecture_once_before_its_first_score(
    spec: ScorerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    check = architectures.check_architecture

    def counted(config: Any) -> None:
        checked.append(config.model_type)
        check(config)

    for module in [module for name, module in sys.modules.items() if name.startswith("udfs.")]:
        if hasattr(module, "check_architecture"):
            monkeypatch.setattr(module, "check_architecture", counted)
    assert scorer_of(spec).score(TEXTS[:1])[0].status == "scored"
    assert checked == ["llama"]
