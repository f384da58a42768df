"""What a network's float32 arithmetic is held against: products of large matrices, which keep the processor busiest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

SIDE: Final = 2048
OPERATIONS: Final = 2 * SIDE**3
"""Additions and multiplications of one product."""


def matrix_products() -> dict[str, Callable[[], object]]:
    """One product of two square matrices, by the library that computes it on every core of this process."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, SIDE, SIDE), dtype=np.float32)
    torch_a, torch_b = torch.from_numpy(a), torch.from_numpy(b)
    return {"NumPy": lambda: a @ b, "torch": lambda: torch_a @ torch_b}
