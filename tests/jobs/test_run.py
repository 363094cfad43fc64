"""The stages of a file in one session: order, what is passed on, failures, and dry runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.run import PIPELINE, find_steps, run
from jobs.spark.namespace import Namespace
from jobs.stages import STAGES
from schemas import mixture, rankings
from tests.jobs.scoring.scoring_cases import WINDOW, documents


@pytest.fixture
def pipeline(tmp_path: Path, namespace: str, tiny_model_folder: str, heads_file: str) -> str:
    """A file that takes twelve texts from ingest to export."""
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        "".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in documents(12).items()), encoding="utf-8"
    )
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        f"""
namespace: {namespace}
model: {tiny_model_folder}
allow_implausible_model: true
export:
  out: {tmp_path}/export
ingest:
  input: {texts}
  domain: prose
  doc_id_column: id
score:
  heads_file: {heads_file}
  window: {WINDOW}
rank:
select:
  fraction: 0.5
mix:
"""
    )
    return str(file)


def settings(argv: list[str]) -> Any:
    return STAGES["run"].load_settings(argv)


def test_a_file_is_run_from_texts_to_an_export_and_again_with_nothing_to_do(
    spark: SparkSession, pipeline: str, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(settings(["--config", pipeline, "--to", "mix"]), spark)
    assert list(results) == ["ingest", "score", "rank", "select", "mix"]
    shown = capsys.readouterr().out
    assert "[2/5] score: done in " in shown
    assert shown.splitlines()[-1].split()[:2] == ["mix", "done"]
    assert not (tmp_path / "export").exists()
    place = Namespace.parse(namespace)
    assert place.read(spark, rankings.TABLE).count() == 12
    # Another selection beside the first: mix and export take the one that this run has made.
    text = Path(pipeline).read_text().replace("fraction: 0.5", "fraction: 0.25")
    Path(pipeline).write_text(text)
    results = run(settings(["--config", pipeline, "--json"]), spark)
    assert results["ingest"]["num_new"] == 0
    assert results["score"]["num_documents"] == 0
    assert results["export"]["mixture_id"] == results["mix"]["mixture_id"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["select"] == results["select"]
    assert len({row["mixture_id"] for row in place.read(spark, mixture.TABLE).collect()}) == 2


def test_the_first_failure_ends_the_run_and_says_how_to_go_on(
    spark: SparkSession, pipeline: str, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"^score: .*corpus(?s:.*)go on with --from score once that is mended"):
        run(settings(["--config", pipeline, "--from", "score"]), spark)
    states = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[-5:]]
    assert states == [["score", "failed"], ["rank", "not"], ["select", "not"], ["mix", "not"], ["export", "not"]]


def test_a_dry_run_says_what_each_stage_would_do_and_writes_nothing(
    spark: SparkSession, pipeline: str, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(settings(["--config", pipeline, "--dry-run"]), spark)
    shown = capsys.readouterr().out
    assert "12 documents read" in shown
    assert "would run select with" in shown
    assert "fraction 0.5" in shown
    assert "what it would do cannot be told yet: " in shown
    assert not Path(namespace).exists()


def test_settings_of_all_sections_are_checked_before_any_work(pipeline: str) -> None:
    text = Path(pipeline).read_text().replace("fraction: 0.5", "fraktion: 0.5").replace("window:", "widow:")
    Path(pipeline).write_text(text)
    with pytest.raises(ValueError, match=r"score: .*unknown key 'widow'(?s:.*)\nselect: .*unknown key 'fraktion'"):
        find_steps(settings(["--config", pipeline]))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--config is missing"),
        (["--config", "FILE", "--from", "scor"], "--from is 'scor'.*score"),
        (["--config", "FILE", "--to", "sql"], "--to is 'sql'"),
        (["--config", "FILE", "--from", "dedup", "--to", "dedup"], "no section of a stage from dedup to dedup"),
    ],
)
def test_what_makes_no_sense_is_an_error(pipeline: str, argv: list[str], message: str) -> None:
    argv = [pipeline if part == "FILE" else part for part in argv]
    with pytest.raises(ValueError, match=message):
        find_steps(settings(argv))


def test_stages_run_in_the_order_of_the_registry() -> None:
    assert [name for name in STAGES if name in PIPELINE] == list(PIPELINE)
