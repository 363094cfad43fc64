"""What a stage costs in Spark jobs, which do not depend on the machine: ceilings that may only fall."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from jobs.stages import STAGES
from schemas import corpus
from tests.jobs.conftest import Score
from tests.jobs.corpus.corpus_cases import corpus_rows
from tests.jobs.ranking.ranking_cases import write
from tests.jobs.scoring.scoring_cases import WINDOW, add_documents, documents, run_row, write_runs
from tests.jobs.selecting.selection_cases import scored
from udfs import known_checkpoints
from udfs.known_checkpoints import resolve_and_remember

# On tables that this Spark has not opened before: to open one is a job, and so is each look at its files.
CEILINGS = {
    "rank": 12,
    "select --fraction 0.2": 19,
    "mix": 24,
    "sql 'select count(*) from scores'": 3,
    "status": 3,
}

CEILING_OF_NOTHING_NEW = 6


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace in which each stage has run before."""
    namespace = str(tmp_path_factory.mktemp("costs"))
    rows = scored(40, seed=3)
    texts = {row["doc_id"]: f"text of {row['doc_id']}" for row in rows}
    rows = [row | {"text_sha256": hashlib.sha256(texts[row["doc_id"]].encode()).hexdigest()} for row in rows]
    write(spark, namespace, rows)
    write_runs(spark, namespace, run_row(run_id="r", state="finished"))
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    live = [(row["doc_id"], row["domain"], texts[row["doc_id"]], "a book") for row in rows]
    place.append(corpus_rows(spark, live), corpus.TABLE)
    for stage in ("rank", "select --fraction 0.2", "mix"):
        run(spark, namespace, stage)
    return namespace


def run(spark: SparkSession, namespace: str, command: str) -> int:
    """Run the stage as the command line would; the Spark jobs that it took."""
    name, *argv = shlex.split(command)
    stage = STAGES[name]
    before = num_jobs(spark)
    stage.function()(stage.load_settings([*argv, "--namespace", namespace]), spark)
    return num_jobs(spark) - before


def num_jobs(spark: SparkSession) -> int:
    """The jobs that this Spark has begun."""
    count: int = spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()
    return count


@pytest.mark.parametrize("command", CEILINGS)
def test_a_stage_takes_few_jobs(spark: SparkSession, filled: str, tmp_path: Path, command: str) -> None:
    namespace = str(tmp_path / "not opened before")
    shutil.copytree(filled, namespace)
    assert run(spark, namespace, command) <= CEILINGS[command]


@pytest.mark.parametrize("command", ["rank", "select --fraction 0.2", "mix"])
def test_a_stage_after_scoring_reads_no_text(
    spark: SparkSession, filled: str, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = str(tmp_path / "no texts")
    shutil.copytree(filled, namespace)
    columns_read: set[str] = set()
    frames = type(spark.range(1))
    collect: Callable[..., Any] = frames.collect

    def watched(rows: Any) -> Any:
        plan = rows._jdf.queryExecution().executedPlan().toString()
        for columns in re.findall(r"ReadSchema: struct<([^>]*)>", plan):
            columns_read.update(columns.split(","))
        return collect(rows)

    monkeypatch.setattr(frames, "collect", watched)
    run(spark, namespace, command)
    assert "text_sha256:string" in columns_read
    assert "text:string" not in columns_read


def test_scoring_again_without_anything_new_takes_few_jobs_and_never_imports_torch(
    spark: SparkSession,
    namespace: str,
    score: Score,
    tiny_model_folder: str,
    heads_file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a process of its own, as people start it."""
    add_documents(spark, namespace, documents(3))
    assert score()["num_documents"] == 3
    # The model has just been made; a model that was made long ago is remembered by the run itself.
    monkeypatch.setattr(known_checkpoints, "SETTLED_NS", 0)
    resolve_and_remember(tiny_model_folder)
    code = """
import sys
from jobs.score import ScoreSettings, run
from jobs.spark.session import get_session
spark = get_session("costs")
namespace, model, heads_file, window = sys.argv[1:]
asked = {"namespace": namespace, "model": model, "heads_file": heads_file, "window": window}
settings = ScoreSettings(**asked, allow_implausible_model=True)
num_documents = run(settings, spark)["num_documents"]
jobs = spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()
print(num_documents, jobs, sorted({"torch", "transformers"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, namespace, tiny_model_folder, heads_file, str(WINDOW)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    num_documents, num_jobs_of_it, modules = answer.split(" ", 2)
    assert (num_documents, modules) == ("0", "[]")
    assert int(num_jobs_of_it) <= CEILING_OF_NOTHING_NEW
