"""The README's map, and the list of files in each package's docstring, are the tree as it is."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ["udfs", *(f"jobs/{path.parent.name}" for path in sorted((ROOT / "jobs").glob("*/__init__.py")))]
LINE = re.compile(r"^ *([\w./-]*[\w/]) {2,}(\S.*)$", re.MULTILINE)


def tracked(*folders: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.splitlines() if not path.endswith("__init__.py")]


def test_the_readmes_map_has_one_line_for_each_package_and_each_file_outside_of_them() -> None:
    section = (ROOT / "README.md").read_text().split("## The files", 1)[1].split("\n## ", 1)[0]
    files = [
        path for path in tracked("schemas", "jobs", "conf", "notebooks") if path.rpartition("/")[0] not in PACKAGES
    ]
    files = [path for path in files if not path.endswith(".sql")]
    assert sorted(path for path, _ in LINE.findall(section)) == sorted([*files, *(f"{name}/" for name in PACKAGES)])


@pytest.mark.parametrize("package", PACKAGES)
def test_each_packages_docstring_has_one_line_for_each_of_its_files(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    assert docstring is not None
    described = [f"{package}/{path}" for path, _ in LINE.findall(docstring)]
    assert sorted(described) == sorted(tracked(package))
