"""A disk that is full: a clear error, and after space is made the run completes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.faults.fault_cases import Stage
from tests.jobs.scoring.scoring_cases import add_documents, documents

Check = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.timeout(600)
def test_a_full_disk_is_a_clear_error_and_once_there_is_space_the_run_completes(
    spark: SparkSession, stage: Stage, small_disk: Path, check_scores: Check
) -> None:
    stage.namespace = str(small_disk / "namespace")
    texts = documents(30)
    add_documents(spark, stage.namespace, texts)
    stage.run("--limit", "5")
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        # A few pages stay: the run begins, and fails in the middle of writing.
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free - 16 * 4096)
    for mode in ("stream", "reconcile"):
        before = len(stage.said())
        process = stage.start("--batch-bytes", "4000", "--mode", mode)
        assert process.wait(200) == 2, stage.said()[-3000:]
        assert "score: error: a disk is full (" in stage.said()[before:], mode
    filler.unlink()
    stage.run("--batch-bytes", "4000")
    check_scores(texts)
