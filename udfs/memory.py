"""The C library's memory settings for a process that does nothing but run a model on a CPU."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make this process keep the memory that tensors free; whether that was possible.

    glibc gives each large tensor fresh pages from the kernel, which zeroes them, and hands them back at once: 2-9 %
    of a pass on two cores, the more the longer the window (malloc tuning, mallopt(3)).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
