"""The README's map of the files is the tree as it is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAPPED = ("schemas", "udfs", "jobs", "conf", "notebooks")
LINE = re.compile(r"^    ([\w./-]+\.\w+) +(\S.*)$", re.MULTILINE)


def described_files() -> list[str]:
    section = (ROOT / "README.md").read_text().split("## The files", 1)[1].split("\n## ", 1)[0]
    return [path for path, _ in LINE.findall(section)]


def test_every_file_has_one_line_in_the_readmes_map_and_every_line_a_file() -> None:
    tracked = subprocess.run(["git", "ls-files", *MAPPED], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = [path for path in tracked.splitlines() if not path.endswith("__init__.py")]
    assert sorted(described_files()) == sorted(expected)
