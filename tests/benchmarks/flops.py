"""How many floating-point operations a device does at best."""

from __future__ import annotations

import time

import torch

# Dense 16-bit matrix products, from the makers' data sheets; elsewhere a large product is timed.
# The first name that a device's own holds.
DATA_SHEET_PEAKS = {"NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
# Of a product, after which no larger one is tried: the next takes eight times as long.
LONG_SECONDS = 0.25


def peak_flops(device: str, dtype: str) -> tuple[float, str]:
    """(operations a second at best, how that is known)."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
        for known, peak in DATA_SHEET_PEAKS.items():
            if known in name and dtype != "float32":
                return peak, "data sheet"
    best, largest = 0.0, 0
    # Larger ones run faster, up to a point; those of a format that the device only emulates would take minutes.
    for size in (512, 1024, 2048, 4096) if device == "cpu" else (16_384,):
        left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
        seconds = min(_seconds(left, right) for _ in range(6))
        best, largest = max(best, 2 * size**3 / seconds), size
        if seconds > LONG_SECONDS:
            break
    del left, right
    if device == "cuda":
        torch.cuda.empty_cache()
    return best, f"best of products of up to {largest} x {largest} matrices"


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    begin = time.perf_counter()
    torch.mm(left, right)
    if left.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin
