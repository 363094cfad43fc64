"""Memory that tensors free stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from udfs.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
torch.set_num_threads(1)
for _ in range(20):
    torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(20_000_000)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    """80 MB ten times are 195,000 pages of 4 kB, or 390 of 2 MB, when each time is a new one."""

    def page_faults(mode: str) -> int:
        command = [sys.executable, "-c", PROGRAM, mode]
        kept, faults = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert kept == "True"
        return int(faults)

    assert page_faults("keep") < page_faults("leave") / 10
