"""The machine's matrix multiplication, TFLOP/s in float32 and bfloat16; printed as JSON."""

import json
import time

import torch

SIDE = 3072
REPEATS = 8


def teraflops(dtype: torch.dtype) -> float:
    """The best of some multiplications of two square matrices."""
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best / 1e12


print(json.dumps({"float32": teraflops(torch.float32), "bfloat16": teraflops(torch.bfloat16)}))
