"""The random sample of a slide's figures that its pictures show: one draw, whatever shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def random_rows(n: int, size: int, seed: int) -> NDArray[np.intp]:
    """Choose without replacement.

    Args:
        n: Number of rows to choose from.
        size: Number wanted; all of them where there are fewer.
        seed: Equal seeds give equal rows.

    Returns:
        (min(size, n),) row positions from 0, rising.
    """
    return np.sort(np.random.default_rng(seed).choice(n, min(size, n), replace=False)).astype(np.intp)
