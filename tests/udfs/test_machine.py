"""Cores and memory are those that a container's or a cluster job's limits leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from udfs import machine
from udfs.machine import memory_bytes, num_cores

GIB = 2**30
V2, V1 = "0::{}", "5:cpu,cpuacct:{0}\n4:memory:{0}/other\n1:name=systemd:/else"


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, own: str, files: dict[str, str]) -> tuple[int, int]:
    """(cores, bytes) on a machine of 8 cores and 4 GiB whose process is in these groups, with these limits."""
    for name, text in {"own": own, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "CGROUPS", folder)
    monkeypatch.setattr(machine, "OWN_CGROUPS", folder / "own")
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)), raising=False)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": GIB // 1024}[name])
    return num_cores(), memory_bytes()


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (V2.format("/"), {"cpu.max": "max 100000", "memory.max": "max"}),
        (V2.format("/not/shown/here"), {}),
        (
            V1.format("/"),
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": f"{2**63 - 4096}",
            },
        ),
        (V1.format("/"), {"cpuset/cpu.max": "100000 100000", "memory.max": "4096"}),
    ],
)
def test_without_limits_there_are_all_cores_and_all_memory(
    own: str, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limited(monkeypatch, tmp_path, own, files) == (8, 4 * GIB)


def test_where_there_are_no_control_groups_there_are_all_cores_and_all_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, tmp_path, V2.format("/"), {})
    (tmp_path / "own").unlink()
    assert (num_cores(), memory_bytes()) == (8, 4 * GIB)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        # A container sees its own group as the top, or by the path that the host has for it.
        (V2.format("/"), {"cpu.max": "150000 100000", "memory.max": f"{GIB}"}),
        (V2.format("/docker/1f"), {"cpu.max": "150000 100000", "memory.max": f"{GIB}"}),
        # A cluster's job has limits of its own, in a group with others.
        (V2.format("/job/step"), {"job/cpu.max": "150000 100000", "job/step/memory.max": f"{GIB}"}),
        (
            V2.format("/job/step"),
            {
                "job/cpu.max": "150000 100000",
                "job/memory.max": f"{2 * GIB}",
                "job/step/cpu.max": "max 100000",
                "job/step/memory.max": f"{GIB}",
            },
        ),
        (
            V1.format("/job"),
            {
                "cpu/job/cpu.cfs_quota_us": "150000",
                "cpu/job/cpu.cfs_period_us": "100000",
                "memory/job/other/memory.limit_in_bytes": f"{GIB}",
            },
        ),
    ],
)
def test_limits_of_the_group_and_of_those_that_it_is_in_count(
    own: str, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limited(monkeypatch, tmp_path, own, files) == (2, GIB)
