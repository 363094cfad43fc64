"""A cluster of two executors in processes of their own: one of them killed, and both with GPUs that are not there."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.faults.fault_cases import ROOT, Stage, children, commits, wait_until
from tests.jobs.scoring.scoring_cases import add_documents, documents

Check = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.timeout(900)
def test_an_executor_that_is_killed_stops_nothing(spark: SparkSession, stage: Stage, check_scores: Check) -> None:
    texts = documents(120)
    add_documents(spark, stage.namespace, texts)
    program = ("-m", "tests.faults.on_cluster", "local-cluster[2,1,1024]")
    process = stage.start("--batch-bytes", "5000", "--max-batch-tokens", "64", program=program)
    assert wait_until(lambda: commits(stage) >= 2, 240, process), stage.said()[-3000:]
    executors = children(process, lambda line: "CoarseGrainedExecutorBackend" in line and "java" in line.split()[0])
    assert len(executors) == 2
    executors[0].send_signal(signal.SIGKILL)
    assert process.wait(500) == 0, stage.said()[-3000:]
    found = check_scores(texts)
    assert {row["status"] for row in found.values()} == {"scored"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("num_gpus", [1, 2])
def test_each_worker_loads_the_model_once_and_has_it_on_the_gpu_that_its_task_is_given(
    num_gpus: int, tmp_path: Path, tiny_model_folder: str
) -> None:
    discovery = tmp_path / "discover_gpus.sh"
    # Of two that are there, an executor with one has the second.
    addresses = json.dumps(["0", "1"][-num_gpus:])
    discovery.write_text(f"""#!/bin/sh\necho '{{"name": "gpu", "addresses": {addresses}}}'\n""")
    discovery.chmod(0o755)
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", "tests.faults.gpu_cluster", str(discovery), tiny_model_folder, str(out)]
    command.append(str(num_gpus))
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    tasks = json.loads(out.read_text())
    assert len(tasks) == 16
    assert {task["device"] for task in tasks} == {"cuda:0", "cuda:1"} if num_gpus == 2 else {"cuda:1"}
    by_gpu = defaultdict(list)
    for task in tasks:
        # Spark's assignment, and where the model is.
        assert task["device"] == f"cuda:{task['address']}"
        by_gpu[task["executor"], task["address"]].append((task["begin"], task["end"]))
    assert len(by_gpu) == 2 * num_gpus
    for times in by_gpu.values():
        times.sort()
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times)), "two on one GPU"
    assert {task["num_loads"] for task in tasks} == {1}
