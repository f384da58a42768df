"""How many points lie in a rectangle, for millions of rectangles: a wavelet matrix over the points' ranks.

Points are numbered by x and by y (their ranks); a rectangle is a range of either. Each question takes one step a binary
digit of n, and many are answered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_LARGEST_INT32: Final = np.iinfo(np.int32).max


class RangeSums:
    """Counts and sums over the points whose ranks lie in given ranges; all exact.

    Args:
        x_order: (n,) the points' numbers in order of x.
        y_order: (n,) the same in order of y.
        weights: Integers (n,) each, by point number, that ``sums`` can add up.
    """

    def __init__(self, x_order: Ints, y_order: Ints, weights: Sequence[Ints] = ()) -> None:
        n = len(x_order)
        y_rank = np.empty(n, dtype=np.int64)
        y_rank[y_order] = np.arange(n)
        points, values = x_order, y_rank[x_order]
        self._digits = range(n.bit_length() - 1, -1, -1)
        self._clear: list[Ints] = []  # per digit: how many of the first k values have it clear
        self._sums: list[list[Ints]] = [[] for _ in weights]  # the same, of their weights
        for digit in self._digits:
            is_clear = (values >> digit) & 1 == 0
            self._clear.append(_running(is_clear.astype(np.int64)))
            for sums, weight in zip(self._sums, weights, strict=True):
                sums.append(_running(np.where(is_clear, weight[points], 0)))
            parted = np.concatenate([np.flatnonzero(is_clear), np.flatnonzero(~is_clear)])
            points, values = points[parted], values[parted]

    def counts(self, x_from: Ints, x_to: Ints, y_from: Ints, y_to: Ints) -> Ints:
        """Number of points in each rectangle of ranks ``[x_from, x_to) x [y_from, y_to)``."""
        return self._between(self._clear, x_from, x_to, y_from, y_to)

    def sums(self, weight: int, x_from: Ints, x_to: Ints, y_from: Ints, y_to: Ints) -> Ints:
        """Sum of the weights (of number ``weight``) of the points in each rectangle of ranks."""
        return self._between(self._sums[weight], x_from, x_to, y_from, y_to)

    def _between(self, running: list[Ints], x_from: Ints, x_to: Ints, y_from: Ints, y_to: Ints) -> Ints:
        upper = self._below(running, x_from, x_to, np.maximum(y_to, y_from))
        return upper - self._below(running, x_from, x_to, y_from)

    def _below(self, running: list[Ints], start: Ints, end: Ints, limit: Ints) -> Ints:
        """Sum over the points of x ranks ``[start, end)`` whose y rank is below ``limit``."""
        total = np.zeros(len(limit), dtype=np.int64)
        for digit, clear, sums in zip(self._digits, self._clear, running, strict=True):
            start_clear, end_clear = clear[start], clear[end]
            within = end_clear - start_clear if sums is clear else sums[end] - sums[start]
            is_set = (limit >> digit) & 1 == 1
            total += np.where(is_set, within, 0)
            start = np.where(is_set, clear[-1] + start - start_clear, start_clear)
            end = np.where(is_set, clear[-1] + end - end_clear, end_clear)
        return total


def _running(values: Ints) -> Ints:
    """Running sums, starting with 0; in half the memory where they are small enough."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    # differences of two of them are taken, which must fit as well
    return sums.astype(np.int32) if int(sums.max()) - int(sums.min()) <= _LARGEST_INT32 else sums
