"""Cores and memory are those that a container's limits leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from udfs.machine import memory_bytes, num_cores

NONE = Path("no such folder")
UNLIMITED = [
    {"cpu.max": "max 100000", "memory.max": "max"},
    {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": f"{2**63 - 1}"},
]
LIMITED = [
    {"cpu.max": "50000 100000", "memory.max": "1048576"},
    {
        "cpu/cpu.cfs_quota_us": "100000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "1048576",
    },
]


def control_groups(folder: Path, files: dict[str, str]) -> Path:
    """The folder with these files, as Linux writes them."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize("files", UNLIMITED)
def test_without_limits_there_are_all_cores_and_all_memory(tmp_path: Path, files: dict[str, str]) -> None:
    cgroups = control_groups(tmp_path, files)
    assert num_cores(cgroups) == num_cores(NONE) >= 1
    assert memory_bytes(cgroups) == memory_bytes(NONE) > 2**28


@pytest.mark.parametrize("files", LIMITED)
def test_a_container_has_the_cores_and_the_memory_of_its_limits(tmp_path: Path, files: dict[str, str]) -> None:
    cgroups = control_groups(tmp_path, files)
    assert num_cores(cgroups) == 1
    assert memory_bytes(cgroups) == 2**20
