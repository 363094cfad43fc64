from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.spark.session import QUICK_JVM, get_session, require_java

ROOT = Path(__file__).parents[3]


def fake_java(folder: Path, banner: str) -> None:
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{banner}' >&2\n", encoding="utf-8")
    java.chmod(0o755)


def test_java_that_is_missing_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"Java 17 or 21, but JAVA_HOME is .*no bin/java; install one"):
        require_java()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="no java is on the PATH"):
        require_java()


@pytest.mark.parametrize("banner", ['openjdk version "1.8.0_392"', 'openjdk version "24.0.1"', "something else"])
def test_java_of_another_version_is_named(tmp_path, monkeypatch, banner):
    fake_java(tmp_path, banner)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"Spark needs Java 17 or 21, but .* is Java"):
        require_java()


@pytest.mark.parametrize("banner", ['openjdk version "17.0.15"', 'java version "21" 2023-09-19'])
def test_java_17_and_21_will_do(tmp_path, monkeypatch, banner):
    fake_java(tmp_path, banner)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    require_java()


def test_the_session_that_is_there_is_used(spark):
    assert get_session("other") is spark


def test_a_local_session_has_delta_utc_and_workers_on_this_interpreter(spark):
    assert spark.conf.get("spark.sql.extensions") == "io.delta.sql.DeltaSparkSessionExtension"
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.conf.get("spark.ui.enabled") == "false"
    assert os.environ["PYSPARK_PYTHON"] == sys.executable


def test_no_job_touches_what_spark_connect_does_not_have():
    for path in [*(ROOT / "jobs").rglob("*.py"), *(ROOT / "schemas").rglob("*.py"), *(ROOT / "udfs").rglob("*.py")]:
        source = path.read_text(encoding="utf-8")
        for word in ("SparkContext", "sparkContext", "._jvm", "._jdf", ".rdd"):
            assert word not in source, f"{path} uses {word}"


def spark_submit(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program as spark-submit does, in its own JVM."""
    import pyspark

    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    quick = ("ui.enabled=false", "sql.shuffle.partitions=1", "databricks.delta.snapshotPartitions=1")
    options = ["--master", "local[1]", "--driver-java-options", QUICK_JVM]
    options += [word for setting in quick for word in ("--conf", f"spark.{setting}")]
    return subprocess.run([str(submit), *options, *argv], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.spark
def test_spark_submit_runs_a_stage_and_gets_delta_without_being_told(tmp_path):
    document = tmp_path / "a.txt"
    document.write_text("hello", encoding="utf-8")
    namespace = str(tmp_path / "namespace")
    argv = ["--input", str(document), "--domain", "x", "--namespace", namespace, "--json"]
    # In the test's folder: Spark makes its warehouse where it starts.
    result = spark_submit(tmp_path, str(ROOT / "jobs" / "ingest.py"), *argv)
    assert result.returncode == 0, result.stderr[-3000:]
    assert '"num_new": 1' in result.stdout
    wrong = spark_submit(tmp_path, str(ROOT / "jobs" / "ingest.py"), "--input", str(document))
    assert wrong.returncode == 2
    assert "attention-influence ingest: error: name the domain" in wrong.stdout
