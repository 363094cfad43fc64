"""Number formats: half-precision (bfloat16, float16) matrix products with float32 between them, and float32 throughout.

No function here depends on shapes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from udfs.attention import plain_attention, use_attention

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HALF_PRECISION = (torch.bfloat16, torch.float16)


def add_in_float32(model: Any) -> None:
    """Make a half-precision model round only inside its matrix products and its attention, in place.

    Each layer adds a little to the hidden states. In bfloat16 that sum has 8 significant bits, and a score is the
    difference of two nearly equal losses. SmolLM2's ranking of 61 documents agreed with that of float32 to 0.9991
    (Spearman); with sums and norms in float32 and exact logits of the targets, to 0.9996 (tests/benchmarks/RESULTS.md).
    Embeddings and matrices stay in half precision, so they take no more memory. A float32 model does not change.
    """
    if product_dtype(model) not in HALF_PRECISION:
        return
    use_attention(model, plain_attention)
    for module in model.modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.dtype in HALF_PRECISION]
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_widen_output)
        elif any(parameter.ndim > 1 for parameter in own):
            module.register_forward_pre_hook(_round_inputs, with_kwargs=True)
        else:
            for parameter in own:
                parameter.data = parameter.data.float()


def multiply_in_full() -> None:
    """Let this process multiply float32 numbers without rounding them, and add half-precision products in float32.

    A container image or an environment variable may have set other defaults. TF32 has 11 significant bits: it rounds
    positions beyond 2,048, which rotary embeddings multiply, and windows that are read again in float32. Sums in half
    precision change with the size of a batch.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def product_dtype(model: Any) -> torch.dtype:
    """The number format of the model's matrix products, which is its narrowest one."""
    dtype: torch.dtype = min((parameter.dtype for parameter in model.parameters()), key=lambda dtype: dtype.itemsize)
    return dtype


def resolve_dtype(name: str, device: str) -> torch.dtype:
    """The torch dtype for float32, bfloat16, float16 or auto (half precision on a CUDA device, else float32).

    Raises ValueError for any other name.
    """
    if name in DTYPES:
        if device == "cpu" and is_emulated(DTYPES[name]):
            # Measured on one core of an AVX2 machine: 0.9 GFLOP/s in bfloat16, 74 in float32.
            warnings.warn(
                f"this CPU has no instructions for {name} and is tens of times slower in it than in float32; "
                "use --dtype float32",
                stacklevel=2,
            )
        return DTYPES[name]
    if name != "auto":
        raise ValueError(f"dtype is {name!r}; it must be auto, {', '.join(DTYPES)}")
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def is_emulated(dtype: torch.dtype) -> bool:
    """Whether matrix products of this format have no fast kernel on this CPU, by a private test of torch itself."""
    tests = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
    return dtype in tests and not getattr(torch.ops.mkldnn, tests[dtype], lambda: True)()


@contextmanager
def weights_in_float32(model: Any) -> Iterator[None]:
    """Convert the model's half-precision weights to float32 inside the block, and back to the same bits after it.

    Every half-precision number is a float32 number too, so nothing is lost. Until then the weights take twice the
    memory.
    """
    narrow = [
        (tensor, tensor.dtype)
        for tensor in itertools.chain(model.parameters(), model.buffers())
        if tensor.dtype in HALF_PRECISION
    ]
    widened = []
    try:
        for tensor, dtype in narrow:
            tensor.data = tensor.data.float()
            widened.append((tensor, dtype))
        yield
    finally:
        # In reverse order, because each conversion back makes room for the next, should memory have run out.
        for tensor, dtype in reversed(widened):
            tensor.data = tensor.data.to(dtype)


def _widen_output(_embedding: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output.float()


def _round_inputs(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs in the dtype of the module's matrices, which is float32 inside weights_in_float32."""
    dtype = next(parameter.dtype for parameter in module.parameters(recurse=False) if parameter.ndim > 1)

    def rounded(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    return tuple(rounded(value) for value in args), {name: rounded(value) for name, value in kwargs.items()}
