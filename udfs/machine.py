"""Cores and memory of this machine, as far as this process may use them."""

from __future__ import annotations

import math
import os
from pathlib import Path

# Of a container, from inside: version 2 of Linux's control groups, then version 1.
CGROUPS = Path("/sys/fs/cgroup")


def num_cores(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may use: fewer than the machine has under taskset and in most containers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (
        _numbers(cgroups / "cpu.max")
        or _numbers(cgroups / "cpu/cpu.cfs_quota_us", cgroups / "cpu/cpu.cfs_period_us")
        or (-1, 1)
    )
    # Version 1 writes -1 for none.
    return min(cores, math.ceil(quota / period)) if quota > 0 else cores


def memory_bytes(cgroups: Path = CGROUPS) -> int:
    """Memory that this process may use: less than the machine has in most containers."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _numbers(cgroups / "memory.max") or _numbers(cgroups / "memory/memory.limit_in_bytes") or (total,)
    return min(total, *limit)


def _numbers(*files: Path) -> tuple[int, ...] | None:
    """The numbers in the files; None where a file is missing or sets no limit (max)."""
    try:
        return tuple(int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):
        return None
