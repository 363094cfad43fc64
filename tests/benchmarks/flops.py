"""How many floating-point operations a device does at best."""

from __future__ import annotations

import time

import torch

# Dense 16-bit matrix products, from the makers' data sheets; elsewhere a large product is timed.
# The first name that a device's own holds.
DATA_SHEET_PEAKS = {"NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}


def peak_flops(device: str, dtype: str) -> tuple[float, str]:
    """(operations a second at best, how that is known)."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
        for known, peak in DATA_SHEET_PEAKS.items():
            if known in name and dtype != "float32":
                return peak, "data sheet"
    size = 4096 if device == "cpu" else 16_384
    left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    seconds = []
    for _ in range(6):
        begin = time.perf_counter()
        torch.mm(left, right)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    del left, right
    if device == "cuda":
        torch.cuda.empty_cache()
    return 2 * size**3 / min(seconds), f"best of 6 products of {size} x {size} matrices"
