"""kill -9, at any moment, of anything: no document lost, none scored twice."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.scoring.pending import NUM_BUCKETS
from jobs.spark.namespace import Namespace
from schemas import scores
from tests.faults.fault_cases import Stage, children, commits, kill_tree, wait_until
from tests.jobs.scoring.hostile_models import hostile_model
from tests.jobs.scoring.scoring_cases import add_documents, all_scores, documents
from tests.udfs.conftest import byte_level_tokenizer

Check = Callable[[dict[str, Any]], dict[str, Any]]
NUM_KILLS = 20
# What a run was seen to have done when it was killed: the table of its last commit.
STARTING, RECORDED, COMMITTED = "nothing", "runs", "scores"
DIE = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.timeout(1500)
def test_a_driver_killed_at_twenty_random_moments(spark: SparkSession, stage: Stage, check_scores: Check) -> None:
    texts = documents(160)
    for part in range(4):
        add_documents(spark, stage.namespace, {k: v for k, v in texts.items() if int(k[-3:]) % 4 == part})
    moments = random.Random(0)
    # Equally many kills in each part of a run, however fast the machine starts: most of a short run is its start.
    aims = [STARTING, RECORDED, COMMITTED] * NUM_KILLS
    killed: Counter[str] = Counter()
    for aim in aims[:NUM_KILLS]:
        before = {table: max(1, commits(stage, table)) for table in (RECORDED, COMMITTED)}

        def grown(before: dict[str, int] = before) -> list[str]:
            return [table for table, count in before.items() if commits(stage, table) > count]

        process = stage.start("--batch-bytes", "1200", program=("-m", "tests.faults.small_reads"))
        wait_until(lambda aim=aim, grown=grown: aim == STARTING or aim in grown(), 120, process)
        wait_until(lambda: False, moments.uniform(0, 10 if aim == STARTING else 4), process)
        assert process.poll() is None, f"it ended before kill {killed.total() + 1}: {stage.said()[-3000:]}"
        kill_tree(process)
        killed[(grown() or [STARTING])[-1]] += 1
    assert min(killed[state] for state in (STARTING, RECORDED, COMMITTED)) >= 3, killed
    # None of the kills came after the end, and the last ones not at the beginning.
    assert 0 < Namespace.parse(stage.namespace).read(spark, scores.TABLE).count() < len(texts)
    stage.run("--batch-bytes", "20000")
    check_scores(texts)


@pytest.mark.timeout(600)
def test_a_jvm_that_is_killed(spark: SparkSession, stage: Stage, check_scores: Check) -> None:
    texts = documents(60)
    add_documents(spark, stage.namespace, texts)
    process = stage.start("--batch-bytes", "1500")
    assert wait_until(lambda: commits(stage) >= 2, 120, process)
    (jvm,) = children(process, lambda line: "SparkSubmit" in line)
    jvm.send_signal(signal.SIGKILL)
    assert process.wait(60) != 0
    said = stage.run()
    assert "were scored before" in said
    check_scores(texts)


@pytest.mark.timeout(600)
def test_a_python_worker_that_is_killed_stops_nothing(spark: SparkSession, stage: Stage, check_scores: Check) -> None:
    texts = documents(200)
    add_documents(spark, stage.namespace, texts)
    process = stage.start("--batch-bytes", "8000", "--max-batch-tokens", "64")
    for _ in range(2):
        before = commits(stage)
        workers = wait_until(lambda: children(process, lambda line: "pyspark.daemon" in line)[1:], 120, process)
        assert workers, stage.said()[-3000:]
        time.sleep(1)
        assert any(worker.is_running() for worker in workers)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        wait_until(lambda before=before: commits(stage) > before, 120, process)
    assert process.wait(300) == 0, stage.said()[-3000:]
    found = check_scores(texts)
    assert {row["status"] for row in found.values()} == {"scored"}


@pytest.mark.timeout(900)
def test_a_document_that_workers_die_of_is_marked_and_the_others_are_scored(
    spark: SparkSession, stage: Stage, tmp_path: Path, check_scores: Check
) -> None:
    (token,) = byte_level_tokenizer(bos=False)("~")["input_ids"]
    # Two more fall into its bucket: they must not be blamed for it.
    beside = spark.sql(
        "select concat('beside-', id) from range(100000) "
        f"where pmod(xxhash64(concat('beside-', id)), {NUM_BUCKETS}) = pmod(xxhash64('deadly'), {NUM_BUCKETS}) limit 2"
    )
    texts = documents(40) | {"deadly": "This one has a ~ in it."}
    texts |= {row[0]: "This one is beside it." for row in beside.collect()}
    assert len(texts) == 43
    add_documents(spark, stage.namespace, texts)
    harmless, stage.model = stage.model, hostile_model(tmp_path / "deadly", f"(input_ids == {token}).any()", DIE)
    stage.run("--trust-remote-code", "--batch-bytes", "100000", seconds=600)
    stage.model = harmless
    found = check_scores(texts)
    assert (found["deadly"]["status"], found["deadly"]["error_class"]) == ("failed", "WorkerDied")
    assert {row["status"] for doc_id, row in found.items() if doc_id != "deadly"} == {"scored"}


@pytest.mark.timeout(600)
def test_where_workers_die_of_any_text_the_run_stops_and_no_document_is_blamed(
    spark: SparkSession, stage: Stage, tmp_path: Path
) -> None:
    add_documents(spark, stage.namespace, documents(40))
    harmless, stage.model = stage.model, hostile_model(tmp_path / "deadly", "True", DIE)
    assert stage.start("--trust-remote-code").wait(500) == 2
    assert "Python workers fail at any text, even a short one (died); there may be too little memory" in stage.said()
    assert "Traceback" not in stage.said()
    assert all_scores(spark, stage.namespace) == []
    # Nothing that the run left behind keeps the documents from being scored.
    stage.model = harmless
    stage.run()
    assert {row["status"] for row in all_scores(spark, stage.namespace)} == {"scored"}
