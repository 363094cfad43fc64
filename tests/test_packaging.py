"""What a cluster gets: the wheel, installed or as a zip on --py-files, without this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[1]
# Imports every module from where the first argument says, and reads every SQL file that the others name.
PROGRAM = """
import importlib, pkgutil, sys
import jobs, schemas, udfs
place, *statements = sys.argv[1:]
names = [m.name for p in (schemas, udfs, jobs) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(place), (name, module.__file__)
from jobs.spark.statements import statement
for name in statements:
    assert "select" in statement(name) or "merge" in statement(name), name
print(len(names))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the uv that make setup installs; its build tools are in uv's cache since then."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


def import_everything(place: Path, empty: Path) -> int:
    """How many modules were imported from place by a Python that starts in an empty folder."""
    statements = [f"{path.parents[1].name}/{path.stem}" for path in (ROOT / "jobs").glob("*/sql/*.sql")]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", PROGRAM, str(place), *statements]
    result = subprocess.run(command, capture_output=True, text=True, cwd=empty, env=environment)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


def test_the_wheel_holds_the_three_packages_their_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"schemas", "udfs", "jobs"}
    assert "jobs/spark/log4j2.properties" in names
    for package in ("schemas", "udfs", "jobs"):
        sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
        for data in ("*.sql", "*.jinja"):
            sources |= {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob(data)}
        assert sources <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_module_imports_from_the_installed_wheel(wheel, tmp_path):
    target, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, timeout=300)
    assert import_everything(target, empty) > 20


def test_every_module_imports_from_a_zip_as_py_files_ships_it(wheel, tmp_path):
    archive, empty = tmp_path / "attention_influence.zip", tmp_path / "empty"
    empty.mkdir()
    shutil.copy(wheel, archive)
    assert import_everything(archive, empty) > 20
