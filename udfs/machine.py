"""The cores and the memory that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

# Where Linux lists control groups, which limit containers and cluster jobs, and those that this process is in.
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Devices of NVIDIA's drivers (on small boards nvhost and nvgpu), of AMD's, and of Linux within Windows.
DEVICES, GPU_DEVICES = Path("/dev"), ("nvidia*", "nvhost*", "nvgpu*", "kfd", "dxg")


def num_cores() -> int:
    """Cores that this process may use: often fewer than the machine has, as under taskset or in a container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _control_groups("cpu"):
        quota, period = _numbers(folder / "cpu.max", 2) or (
            *(_numbers(folder / "cpu.cfs_quota_us", 1) or (-1,)),
            *(_numbers(folder / "cpu.cfs_period_us", 1) or (1,)),
        )
        # Version 1 writes -1 for no limit.
        if quota > 0:
            cores = min(cores, math.ceil(quota / period))
    return cores


def memory_bytes() -> int:
    """Bytes of memory that this process may use: often less than the machine has, as in a container."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _control_groups("memory"):
        limit = _numbers(folder / "memory.max", 1) or _numbers(folder / "memory.limit_in_bytes", 1) or (memory,)
        memory = min(memory, *limit)
    return memory


def may_have_gpu() -> bool:
    """False where the machine has no device of a GPU, found without torch, whose import takes seconds."""
    return any(next(DEVICES.glob(pattern), None) for pattern in GPU_DEVICES)


def _control_groups(controller: str) -> Iterator[Path]:
    """The folders of this process's groups of the controller, then of the groups that contain them (cgroups(7)).

    Inside a container, the path may be the one that the group has on the host, and only the top folder may exist.
    """
    lines = OWN_CGROUPS.read_text().splitlines() if OWN_CGROUPS.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one group for all controllers.
        if controllers and controller not in controllers.split(","):
            continue
        top = CGROUPS / controller if controllers else CGROUPS
        own = top / path.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _numbers(file: Path, count: int) -> tuple[int, ...] | None:
    """The file's numbers; None unless there are count of them: the file may be missing, or hold max for no limit."""
    try:
        numbers = tuple(int(word) for word in file.read_text().split())
    except (OSError, ValueError):
        return None
    return numbers if len(numbers) == count else None
