"""One Spark session for the whole test process: starting a JVM per test would take most of the time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# Speed is never asserted: a test that others slow down does not fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# assertDataFrameEqual brings in Spark's pandas, which warns unless it knows how to read time zones.
os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "1")

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from udfs.known_checkpoints import Checkpoint

INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local session with Delta; managed tables go to a temporary folder."""
    from jobs.spark.session import java_options, local_session

    session = local_session(
        "tests",
        master="local[2]",
        conf={
            "spark.sql.shuffle.partitions": "2",
            "spark.driver.memory": "2g",
            # This JVM lives for half an hour, in which compiling well pays: in the first three minutes tests take a
            # fifth less without it, later longer.
            "spark.driver.extraJavaOptions": java_options("-XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m"),
            # A test's tables have a few rows: writing a program for each query costs more than interpreting it (25
            # tests took 319 s, not 370). What people start, and the tests that start it, write them, and so does
            # compiled_queries.
            **INTERPRETED,
            # Kept for a web page that is off: after 30 tests they filled the heap.
            **{f"spark.ui.retained{what}": "10" for what in ("Jobs", "Stages", "Tasks")},
            "spark.sql.ui.retainedExecutions": "1",
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        },
    )
    yield session
    session.stop()


@pytest.fixture
def compiled_queries(spark: SparkSession) -> Iterator[None]:
    """For a test whose queries Spark compiles, as it does outside of tests."""
    compiled = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
    for setting, value in compiled.items():
        spark.conf.set(setting, value)
    yield
    for setting, value in INTERPRETED.items():
        spark.conf.set(setting, value)


@pytest.fixture(scope="session")
def smollm2_path() -> str:
    """The GGUF file of SmolLM2-135M-Instruct, which make setup installs."""
    from jobs.demo_inputs.model import demo_model_path

    return demo_model_path()


@pytest.fixture(scope="session")
def smollm2_checkpoint(smollm2_path: str) -> Checkpoint:
    """SmolLM2-135M-Instruct, converted to safetensors once a machine."""
    from udfs.checkpoint import resolve_checkpoint

    return resolve_checkpoint(smollm2_path)


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2_checkpoint: Checkpoint) -> Any:
    """The tokenizer of SmolLM2-135M-Instruct."""
    from udfs.checkpoint import load_tokenizer

    return load_tokenizer(smollm2_checkpoint)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved Llama of three layers and its tokenizer."""
    from tests.udfs.conftest import byte_level_tokenizer
    from tests.udfs.models import tiny_model

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tiny_model("llama").save_pretrained(folder)
    byte_level_tokenizer(bos=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def heads_file(tmp_path: Path) -> str:
    """Three heads of that model, as --heads-file takes them."""
    from tests.jobs.scoring.scoring_cases import HEADS

    path = tmp_path / "heads.txt"
    path.write_text("".join(f"{layer},{head}\n" for layer, head in HEADS))
    return str(path)


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    """A folder that does not exist yet, as --namespace takes it."""
    return str(tmp_path / "namespace")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a JVM, so that -m "not spark" leaves it out."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "spark" in fixtures:
            item.add_marker("spark")
        if "smollm2_path" in fixtures:
            item.add_marker("real_model")
