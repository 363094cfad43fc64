"""One Spark session for the whole test process: starting a JVM a test would take most of the time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Measured: a small Delta test takes 1.9 s with these, 9.4 s with Spark's defaults.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss4m"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local session with Delta; managed tables go to a temporary folder."""
    from jobs.session import local_session

    session = local_session(
        "tests",
        master="local[2]",
        conf={
            "spark.sql.shuffle.partitions": "2",
            "spark.driver.memory": "2g",
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        },
        java_options=JAVA_OPTIONS,
    )
    yield session
    session.stop()


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    """A folder that does not exist yet, as --namespace takes it."""
    return str(tmp_path / "namespace")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a JVM, so that -m "not spark" leaves it out."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker("spark")
