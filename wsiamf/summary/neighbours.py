"""The nearest other point that is no nearer than one distance and no farther than another.

Most points have few others round them: those in the nine squares that hold all within the farther distance are compared one
by one. Lists of such pairs grow with the square of N where points crowd (a detector that fires a thousand times on one
spot), so there boxes of points are looked at from the largest to the smallest; a box that holds nothing in the range, or
nothing nearer than what is known to be there, is not looked into. Either way a bounded number of pairs is held at a time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_CROWD: Final = 2048
"""More points than this in the nine squares are a crowd: looking at boxes is then the faster way."""

_BOXES_A_BOX: Final = 4
_PAIRS_AT_A_TIME: Final = 1 << 19  # of points
_BOXES_AT_A_TIME: Final = 1 << 15  # pairs of point and box; their boxes' contents take four times that
_SLACK: Final = 1e-9  # relative: squares and boxes are rounded outwards, distances are compared as they are

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def nearest_beyond(x: Floats, y: Floats, least: float, most: float) -> Floats:
    """Distance to the nearest other point that lies ``least`` to ``most`` away, both ends included; NaN where there is none.

    Points nearer than ``least`` do not hide one that lies in the range. Exact; memory does not depend on how the points lie.

    Args:
        x, y: (N,) finite coordinates, in the unit of the distances.
        least: More than 0.
        most: More than ``least``.
    """
    nearest = np.full(len(x), np.inf)
    if not len(x):
        return nearest
    points = np.column_stack([x, y])
    order, start, end = _squares(points, most * (1 + _SLACK))
    n_round = (end - start).sum(axis=0)
    in_order = points[order]
    for some in _parts(order[n_round[order] <= _CROWD], n_round):
        for row in range(3):
            _compare_each(points, some, in_order, (start[row, some], end[row, some]), (least, most), nearest)
    crowded = np.flatnonzero(n_round > _CROWD)
    if len(crowded):
        _compare_boxes(points, crowded, least, most, nearest)
    return np.where(nearest <= most, nearest, np.nan)


def _squares(points: Floats, side: float) -> tuple[Ints, Ints, Ints]:
    """The points' numbers square by square, and for each point where its three rows of three squares start and end, (3, N)."""
    column, row = np.floor((points - points.min(axis=0)) / side).astype(np.int64).T
    n_columns = int(column.max()) + 3  # a square more on either side, so that no row runs on into the next
    square = row * n_columns + column
    order = np.argsort(square, kind="stable")
    in_order = square[order]
    left = square - 1 + np.array([[-1], [0], [1]]) * n_columns
    return order, np.searchsorted(in_order, left), np.searchsorted(in_order, left + 3)


def _parts(numbers: Ints, weight: Ints) -> list[Ints]:
    """Numbers in parts of about ``_PAIRS_AT_A_TIME``."""
    total = np.cumsum(weight[numbers])
    cuts = np.searchsorted(total, np.arange(_PAIRS_AT_A_TIME, total[-1] if len(total) else 0, _PAIRS_AT_A_TIME))
    return np.split(numbers, cuts)


def _compare_each(
    points: Floats, some: Ints, in_order: Floats, run: tuple[Ints, Ints], limits: tuple[float, float], nearest: Floats
) -> None:
    """Enter the nearest of the points ``in_order[start:end]`` (one run a point), if it is no nearer than the lower limit."""
    length = run[1] - run[0]
    place = np.arange(length.sum()) + np.repeat(run[0] - (np.cumsum(length) - length), length)
    apart_x, apart_y = (in_order[place, axis] - np.repeat(points[some, axis], length) for axis in (0, 1))
    squared = apart_x**2 + apart_y**2
    low, high = (limit**2 * slack for limit, slack in zip(limits, (1 - _SLACK, 1 + _SLACK), strict=True))
    near = np.flatnonzero((squared >= low) & (squared <= high))
    distance = np.hypot(apart_x[near], apart_y[near])
    owner, beyond = np.repeat(some, length)[near], distance >= limits[0]
    np.minimum.at(nearest, owner[beyond], distance[beyond])


class _Boxes(NamedTuple):
    """Upright boxes, (n, 2) each as (x, y); inside out where there is none."""

    low: Floats
    high: Floats

    def distances(self, box: Ints, points: Floats) -> tuple[Floats, Floats]:
        """From each point to the nearest and to the farthest of its box; infinite where there is none."""
        from_low, from_high = self.low[box] - points, points - self.high[box]
        near, far = np.maximum(np.maximum(from_low, from_high), 0.0), -np.minimum(from_low, from_high)
        return np.hypot(near[:, 0], near[:, 1]), np.hypot(far[:, 0], far[:, 1])


def _compare_boxes(points: Floats, some: Ints, least: float, most: float, nearest: Floats) -> None:
    levels = _levels(points[cKDTree(points).indices])  # in the tree's order neighbours stand together
    bound = np.full(len(points), most)  # no more than this is the distance looked for, if there is one
    waiting = [(len(levels) - 1, some, np.zeros(len(some), dtype=np.int64))]
    while waiting:
        level, owner, box = waiting.pop()
        if len(owner) > _BOXES_AT_A_TIME:
            later, now = slice(_BOXES_AT_A_TIME, None), slice(_BOXES_AT_A_TIME)
            waiting += [(level, owner[later], box[later]), (level, owner[now], box[now])]
            continue
        near, far = levels[level].distances(box, points[owner])
        beyond = near >= least
        np.minimum.at(bound, owner[beyond], far[beyond])
        if level == 0:
            np.minimum.at(nearest, owner[beyond], near[beyond])
            continue
        inside = (far >= least * (1 - _SLACK)) & (near <= bound[owner] * (1 + _SLACK))
        contents = (box[inside, None] * _BOXES_A_BOX + np.arange(_BOXES_A_BOX)).ravel()
        waiting.append((level - 1, np.repeat(owner[inside], _BOXES_A_BOX), contents))


def _levels(points: Floats) -> list[_Boxes]:
    """The points, then boxes of ``_BOXES_A_BOX`` of the level before, up to the one that holds all."""
    levels = [_Boxes(_padded(points, np.inf), _padded(points, -np.inf))]
    while len(levels[-1].low) > 1:
        low, high = (side.reshape(-1, _BOXES_A_BOX, 2) for side in levels[-1])
        levels.append(_Boxes(_padded(low.min(axis=1), np.inf), _padded(high.max(axis=1), -np.inf)))
    return levels


def _padded(values: Floats, value: float) -> Floats:
    """Values to a whole number of boxes; a single one stays alone."""
    missing = -len(values) % _BOXES_A_BOX if len(values) > 1 else 0
    return np.pad(values, ((0, missing), (0, 0)), constant_values=value)
