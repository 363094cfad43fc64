"""The Spark session: the one that a cluster or spark-submit provides, or a local one with Delta."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from udfs.machine import memory_bytes, num_cores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SUPPORTED_JAVA = (17, 21)
DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
# The JVM only moves rows here, the model runs in Python: on two busy cores, a first small ingest takes 14-18 s with
# these options and 32-44 s without. The code cache is larger than the 48 MB that the JVM gives to its first compiler
# alone: those are full after some minutes of Spark, and then nothing more is compiled.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m"
# Neither the thousands of classes that an archive cannot hold are listed, nor why one does not fit this JVM.
QUIET_ARCHIVE = "-Xshare:auto -Xlog:disable -Xlog:all=off"
# Set on Databricks, where Delta is built in, and for Spark Connect, where the server has it or not.
PROVIDED_BY = ("DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE")
# Set by spark-submit for the Python program that it starts.
SUBMITTED_BY = "PYSPARK_GATEWAY_PORT"


def get_session(app_name: str) -> SparkSession:
    """The active session, else the cluster's or spark-submit's, else a new local one; all of them with Delta.

    Raises ValueError for a missing or wrong Java, or a session that has no Delta and cannot be given it.
    """
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    if any(name in os.environ for name in PROVIDED_BY):
        return SparkSession.builder.appName(app_name).getOrCreate()
    if SUBMITTED_BY in os.environ:
        return _submitted_session(app_name)
    return local_session(app_name)


def local_session(app_name: str, master: str | None = None, conf: Mapping[str, str] | None = None) -> SparkSession:
    """A new session in this machine's own JVM: quiet, no web page, workers on this very interpreter.

    By default with one slot per core: Java's own count (local[*]) may differ. conf overrides all other settings. Raises
    ValueError for a missing or wrong Java.
    """
    from pyspark.sql import SparkSession

    require_java()
    # These log, with two stack traces, an error that is raised to the caller anyway.
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(master or f"local[{num_cores()}]").appName(app_name)
    for key, value in {**_local_conf(), **(conf or {})}.items():
        builder = builder.config(key, value)
    if not _delta_jars_installed():
        from delta import configure_spark_with_delta_pip

        builder = configure_spark_with_delta_pip(builder)
    return builder.getOrCreate()


def require_java() -> None:
    """Raise ValueError unless the java that Spark would start is a supported one."""
    java_home = os.environ.get("JAVA_HOME")
    java = os.path.join(java_home, "bin", "java") if java_home else shutil.which("java")
    wanted = " or ".join(str(version) for version in SUPPORTED_JAVA)
    if java is None or not os.path.exists(java):
        where = f"JAVA_HOME is {java_home}, which has no bin/java" if java_home else "no java is on the PATH"
        raise ValueError(f"Spark needs Java {wanted}, but {where}; install one (OpenJDK will do), set JAVA_HOME")
    # Whoever sets JAVA_HOME and PATH starts this program too.
    banner = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    match = re.search(r'version "(\d+)', banner)
    if match is None or int(match.group(1)) not in SUPPORTED_JAVA:
        version = match.group(1) if match else banner.strip()[:80] or "unknown"
        raise ValueError(f"Spark needs Java {wanted}, but {java} is Java {version}; set JAVA_HOME to one of those")


def _local_conf() -> dict[str, str]:
    cores = num_cores()
    return {
        "spark.sql.extensions": DELTA_EXTENSION,
        "spark.sql.catalog.spark_catalog": DELTA_CATALOG,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(max(2, cores)),
        # It makes a job of each step of a query, of which small tables have many and gain nothing. Where rows are many,
        # jobs.spark.tasks.enough_tasks turns it on.
        "spark.sql.adaptive.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "2",
        # Documents are long, and a Python worker holds a whole batch of them.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "512",
        "spark.driver.memory": f"{_driver_memory_gib()}g",
        "spark.driver.extraJavaOptions": java_options(QUICK_JVM),
        # A laptop's own name often does not resolve, or resolves to an address of a network that it has left.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def _driver_memory_gib() -> int:
    """A quarter of the machine's memory, between 1 and 8 GiB: the model shares the rest with the system."""
    return min(8, max(1, memory_bytes() // 2**32))


def java_options(options: str) -> str:
    """The options, and those that make the JVM quiet and quick to start."""
    archive = class_archive()
    quick = f'"-XX:SharedArchiveFile={archive}" {QUIET_ARCHIVE}' if archive.is_file() else ""
    return " ".join(filter(None, (options, quick, log_option())))


def class_archive() -> Path:
    """Where make setup puts the classes that a small job loads: see conf/archive_classes.py."""
    import pyspark

    return Path(pyspark.__file__).with_name("attention-influence.jsa")


def log_option() -> str:
    """The JVM's option that keeps Spark quiet; empty inside a zip."""
    properties = Path(__file__).with_name("log4j2.properties")
    # Inside a zip there is no file to name; Spark then logs as it does by default.
    return f"-Dlog4j2.configurationFile={properties.as_uri()}" if properties.is_file() else ""


def _delta_jars_installed() -> bool:
    import pyspark

    return any((Path(pyspark.__file__).parent / "jars").glob("delta-spark_*.jar"))


def _submitted_session(app_name: str) -> SparkSession:
    """The session of spark-submit, started again with Delta where its settings left that out."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName(app_name).getOrCreate()
    extensions = spark.conf.get("spark.sql.extensions", "") or ""
    if DELTA_EXTENSION in extensions:
        return spark
    if spark.conf.get("spark.submit.deployMode", "client") != "client":
        raise ValueError(
            "this Spark session has no Delta; submit the job with "
            f"--conf spark.sql.extensions={DELTA_EXTENSION} "
            f"--conf spark.sql.catalog.spark_catalog={DELTA_CATALOG}"
        )
    # Extensions are read when a session is made; in cluster mode, stopping it would end the application.
    spark.stop()
    with_delta = ",".join(part for part in (extensions, DELTA_EXTENSION) if part)
    return (
        SparkSession.builder.appName(app_name)
        .config("spark.sql.extensions", with_delta)
        .config("spark.sql.catalog.spark_catalog", DELTA_CATALOG)
        .getOrCreate()
    )
