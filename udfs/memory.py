"""Memory: what says that there is too little, and what a process keeps that does nothing but run a model on a CPU."""

from __future__ import annotations

import ctypes
import platform

import torch

# CUDA's own error, where torch's allocator was not asked; its matrix library's; a CPU's.
_TOO_LITTLE = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make this process keep the memory that tensors free; whether that was possible.

    glibc gives each large tensor fresh pages from the kernel, which zeroes them, and hands them back at once: 2 to 18 %
    of a pass on two cores, the more the longer the window (malloc tuning, mallopt(3)).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory is too little: torch has a class for its own allocator alone."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _TOO_LITTLE)
