"""Stages refuse a model that does not know plain English and code, before they spend anything on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tokenizers import Tokenizer

from jobs import detect_heads, probes
from jobs.cli import main
from jobs.detect_heads import DetectHeadsSettings
from jobs.estimate import EstimateSettings
from jobs.estimate import run as estimate
from jobs.probes import ProbesSettings
from jobs.spark.namespace import Namespace
from schemas import head_scores, runs, scorers
from tests.jobs.scoring.scoring_cases import WINDOW, add_documents, all_scores, documents, scores_by_id
from tests.udfs.conftest import byte_level_tokenizer
from tests.udfs.models import tiny_model
from udfs.known_checkpoints import Checkpoint
from udfs.plausible import plain_text_figures

Score = Callable[..., dict[str, Any]]
# Of the tiny model: 60 % of ln 320.
BOTH_FIGURES = (
    r"0\.\d{3} tokens per byte \(must be below 0\.6\), and a loss of \d+\.\d{3} nats per token "
    r"\(must be below 3\.461, 60% of ln 320.*--allow-implausible-model"
)


@pytest.fixture
def no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model of any scorer to ask it, or to score with it, is a failure."""

    def load(*_: Any) -> Any:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("jobs.scoring.scorers.measure_figures", load)
    monkeypatch.setattr("jobs.scoring.bisection.Bisection.commit", load)


@pytest.fixture
def letters_model(smollm2_checkpoint: Checkpoint, tmp_path: Path) -> str:
    """SmolLM2 with a tokenizer that has lost its merges: a token is a byte."""
    folder = tmp_path / "letters"
    shutil.copytree(
        smollm2_checkpoint.path, folder, copy_function=lambda source, to: Path(to).symlink_to(Path(source).resolve())
    )
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["merges"] = []
    file.unlink()
    Tokenizer.from_str(json.dumps(content)).save(str(file))
    return str(folder)


def recorded(spark: SparkSession, namespace: str) -> list[Any]:
    return Namespace.parse(namespace).read(spark, scorers.TABLE).collect()


@pytest.mark.parametrize("mode", ["stream", "reconcile"])
def test_a_model_of_random_weights_is_refused_with_both_figures_before_anything_is_scored(
    mode: str, spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3))
    with pytest.raises(ValueError, match=BOTH_FIGURES) as error:
        score(allow_implausible_model=False, mode=mode)
    # The command line shows a plain ValueError as a message, without a stack.
    assert type(error.value) is ValueError
    assert "\n" not in str(error.value)
    assert all_scores(spark, namespace) == []
    place = Namespace.parse(namespace)
    assert not place.exists(spark, scorers.TABLE.name), "it would be one of several to choose from"
    (row,) = place.read(spark, runs.TABLE).collect()
    assert row["state"] == "failed"
    assert "--allow-implausible-model" in row["message"]
    assert score(mode=mode)["num_documents"] == 3


def test_the_figures_of_a_model_that_was_allowed_are_kept_and_refuse_later_runs_that_do_not_allow_it(
    spark: SparkSession, namespace: str, score: Score, request: pytest.FixtureRequest
) -> None:
    add_documents(spark, namespace, documents(3))
    score(dtype="float32")
    (scorer,) = recorded(spark, namespace)
    expected = plain_text_figures(tiny_model("llama"), byte_level_tokenizer(bos=False))
    assert scorer["plain_text_tokens_per_byte"] == pytest.approx(expected.tokens_per_byte)
    assert scorer["plain_text_loss"] == pytest.approx(expected.loss, rel=1e-5)
    add_documents(spark, namespace, documents(2, first=3))
    request.getfixturevalue("no_load")
    for settings in ({}, {"mode": "reconcile"}, {"dry_run": True}):
        with pytest.raises(ValueError, match=BOTH_FIGURES):
            score(allow_implausible_model=False, dtype="float32", **settings)
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(3))
    assert score(dtype="float32", dry_run=True)["num_pending"] == 2


def test_a_run_whose_scorer_has_figures_does_not_measure_them_again_and_one_with_nothing_new_loads_no_model(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_documents(spark, namespace, documents(2))
    score()
    monkeypatch.setattr("jobs.scoring.scorers.measure_figures", lambda *_: pytest.fail("measured again"))
    add_documents(spark, namespace, documents(1, first=2))
    assert score()["num_documents"] == 1
    monkeypatch.setattr("jobs.scoring.bisection.Bisection.commit", lambda *_: pytest.fail("a model is loaded"))
    for mode in ("stream", "reconcile"):
        assert score(mode=mode)["num_documents"] == 0


def test_scorers_of_an_older_version_are_brought_up_to_date_by_the_statement_shown_and_given_figures_when_they_score(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_documents(spark, namespace, documents(2))
    score()
    (before,) = recorded(spark, namespace)
    table = Namespace.parse(namespace).identifier(scorers.TABLE.name)
    older = spark.table(table).drop("plain_text_tokens_per_byte", "plain_text_loss").localCheckpoint()
    shutil.rmtree(f"{namespace}/scorers")
    older.write.format("delta").save(f"{namespace}/scorers")
    with pytest.raises(ValueError, match="older version, without plain_text_loss, plain_text_tokens_per_byte") as error:
        score(mode="reconcile")
    (statement,) = str(error.value).splitlines()[1:]
    spark.sql(statement)
    with monkeypatch.context() as patched:
        patched.setattr(
            "jobs.scoring.scorers.measure_figures", lambda *_: pytest.fail("a model is loaded for nothing new")
        )
        assert score()["num_documents"] == 0
    add_documents(spark, namespace, documents(1, first=2))
    assert score()["num_documents"] == 1
    (after,) = recorded(spark, namespace)
    assert after.asDict() == before.asDict()


def test_a_model_that_only_an_earlier_run_allowed_is_refused_also_where_nothing_is_new(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("udfs.known_checkpoints.SETTLED_NS", 0)
    add_documents(spark, namespace, documents(2))
    score()
    with monkeypatch.context() as patched:
        patched.setattr("jobs.scoring.scorers.resolve_scorer", lambda *_: pytest.fail("no early end"))
        assert score()["num_documents"] == 0
    with pytest.raises(ValueError, match=BOTH_FIGURES):
        score(allow_implausible_model=False)


@pytest.mark.timeout(900)
def test_a_real_model_with_a_token_a_letter_is_one_line_and_exit_status_2(
    spark: SparkSession, namespace: str, letters_model: str, heads_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add_documents(spark, namespace, documents(2))
    scored = ["--namespace", namespace, "--model", letters_model, "--heads-file", heads_file, "--window", "256"]
    assert main(["score", *scored, "--tasks", "1"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    (line,) = said
    assert line.startswith(f"attention-influence score: error: model '{letters_model}' does not read plain English")
    assert "1.000 tokens per byte (must be below 0.6), and a loss of " in line
    assert line.endswith("add --allow-implausible-model")
    assert all_scores(spark, namespace) == []


def test_heads_are_not_detected_in_a_model_that_does_not_know_plain_text(
    spark: SparkSession, namespace: str, tmp_path: Path
) -> None:
    model = tmp_path / "random"
    random = tiny_model("llama")
    random.config.max_position_embeddings = 4096
    random.save_pretrained(model)
    byte_level_tokenizer(bos=False).save_pretrained(model)
    probes.run(ProbesSettings(namespace=namespace, model=str(model), num_probes=1, probe_tokens=3000), spark)
    with pytest.raises(ValueError, match=BOTH_FIGURES):
        detect_heads.run(DetectHeadsSettings(namespace=namespace, model=str(model)), spark)
    assert Namespace.parse(namespace).read(spark, head_scores.TABLE).isEmpty()


def test_an_estimate_asks_the_model_that_it_times_and_else_the_tokenizer_alone(
    spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(2))
    common = {"namespace": namespace, "heads_file": heads_file, "window": WINDOW, "num_sampled": 10}
    timed = EstimateSettings(**common, model=tiny_model_folder, probe_seconds=0.1)
    with pytest.raises(ValueError, match=BOTH_FIGURES):
        estimate(timed, spark)
    elsewhere = {**common, "device_tflops": 100.0, "mfu": 0.3}
    letters = tmp_path / "letters"
    shutil.copytree(tiny_model_folder, letters)
    content = json.loads((letters / "tokenizer.json").read_text())
    content["model"]["merges"] = []
    (letters / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"model does: 1\.000 tokens per byte \(must be below 0\.6\)\. Its tokenizer"):
        estimate(EstimateSettings(**elsewhere, model=str(letters)), spark)
    allowed = EstimateSettings(**elsewhere, model=str(letters), allow_implausible_model=True)
    assert estimate(allowed, spark)["num_documents"] == 2
