"""Detections that are one figure: of those closer than a distance, the best score is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST_SQUARE = 1e-3  # keeps the squares' numbers small; squares wider than the distance are only slower
_ROUND = tuple((column, row) for column in (-1, 0, 1) for row in (-1, 0, 1))


def merged_into(
    x: NDArray[np.float64], y: NDArray[np.float64], score: NDArray[np.float64], distance: float
) -> NDArray[np.int64]:
    """Non-maximum suppression of points, in the order of falling score (equal scores: the lower index first; NaN last).

    A point is suppressed by the best *kept* point strictly closer than ``distance``; suppressed points suppress nothing,
    so chains do not run together. Time grows with N alone, however crowded the points are: kept points lie at least
    ``distance`` apart, so a square of that side holds at most four of them. (A k-d tree's neighbour lists grow with the
    square of N where a detector fires many times on one spot.)

    Args:
        x, y: (N,) finite coordinates, in the unit of ``distance``.
        score: (N,) scores, NaN for none.
        distance: Points at exactly this distance are two; 0 keeps all.

    Returns:
        (N,) index of the point that suppresses each point; -1 for a point that is kept.
    """
    target = np.full(len(x), -1, dtype=np.int64)
    if len(x) == 0 or distance <= 0:
        return target
    order = np.argsort(np.where(np.isnan(score), np.inf, -score), kind="stable")
    kept = _KeptPoints(distance)
    for index, at_x, at_y in zip(order.tolist(), x[order].tolist(), y[order].tolist(), strict=True):
        best = kept.best_near(at_x, at_y)
        if best is None:
            kept.append(index, at_x, at_y)
        else:
            target[index] = best
    return target


class _KeptPoints:
    """Kept points, best first, in squares no narrower than the distance: what is near lies in nine of them."""

    def __init__(self, distance: float) -> None:
        self._squared = distance**2
        self._side = max(distance, _LEAST_SQUARE)
        self._squares: dict[tuple[int, int], list[int]] = {}
        self._points: list[tuple[int, float, float]] = []

    def append(self, index: int, x: float, y: float) -> None:
        """Enter a point that is no better than those before it."""
        self._squares.setdefault((int(x // self._side), int(y // self._side)), []).append(len(self._points))
        self._points.append((index, x, y))

    def best_near(self, x: float, y: float) -> int | None:
        """Index of the best kept point strictly within the distance."""
        column, row = int(x // self._side), int(y // self._side)
        best: int | None = None
        for right, down in _ROUND:
            for rank in self._squares.get((column + right, row + down), ()):
                _, kept_x, kept_y = self._points[rank]
                near = (kept_x - x) ** 2 + (kept_y - y) ** 2 < self._squared
                if near and (best is None or rank < best):
                    best = rank
        return None if best is None else self._points[best][0]
