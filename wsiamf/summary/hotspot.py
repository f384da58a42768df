"""The densest rectangles of a fixed size: exact, by branch and bound.

A rectangle is eligible if it is closed, lies in one of two orientations, has a counted figure *on* its left edge and one
on its top edge (one figure may do both), and at least ``min_share`` of it lies in the region. Any rectangle can be slid
right and down, losing none of its figures, until both edges touch one; so but for the region's rule no rectangle
anywhere holds more. Among the eligible the first hotspot is the one of

1. the most figures, then
2. the highest mean detector score of those figures that have one (a rectangle without any comes last), then
3. the smallest y, then x, then the wide orientation.

The second is the best of those that have no point in common with the first, and so on.

The search looks at boxes of corners ``[x_i..x_k] x [y_j..y_l]``. All rectangles whose upper left corner is in the box lie
inside one enclosing rectangle, so its count bounds theirs, and so does its area inside the region. Boxes with the highest
bound are halved until they are single corners; what is bounded below the best corner found is never looked into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from wsiamf.summary.corner_boxes import CornerBoxes, Corners
from wsiamf.summary.covered_area import CoveredArea

MIN_SHARE: Final = 0.8
"""Least share of a hotspot's area that lies in the region."""

_SHARE_SLACK: Final = 1e-9  # a share that is exactly the least one is not lost to rounding
_CELLS_A_SIDE: Final = 128  # grid of the region's area, along a rectangle's short side
_MIN_BATCH: Final = 2048  # boxes looked at together: numpy's speed against looking where it is not needed
_BATCH_SHARE: Final = 64  # and not less than this part of a long list, which is copied each time

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rectangle:
    """A hotspot's place and what it was chosen by.

    Args:
        x, y: Upper left corner, in level-0 px.
        width, height: In level-0 px.
        n: Number of counted figures inside, edges included.
        mean_score: Mean detector score of those that have one; None where none has.
        share_in_area: Share of the rectangle that lies in the region.
    """

    x: float
    y: float
    width: float
    height: float
    n: int
    mean_score: float | None
    share_in_area: float

    def contains(self, x: ArrayLike, y: ArrayLike) -> Flags:
        """Which points (level-0 px) lie inside; edges count as inside."""
        px, py = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        in_width = (px >= self.x) & (px <= self.x + self.width)
        return np.asarray(in_width & (py >= self.y) & (py <= self.y + self.height))


def find_hotspots(
    x: ArrayLike,
    y: ArrayLike,
    scores: ArrayLike,
    geometry: shapely.MultiPolygon,
    *,
    sides_px: tuple[float, float],
    n_hotspots: int = 3,
    min_share: float = MIN_SHARE,
) -> list[Rectangle]:
    """Find the densest rectangles, none of which meet.

    Args:
        x, y: (n,) counted figures in level-0 px.
        scores: (n,) detector scores, NaN where there is none.
        geometry: The region, in level-0 px.
        sides_px: Long and short side of the rectangle in level-0 px; either may be its width.
        n_hotspots: How many to find at most.
        min_share: Least share of a rectangle's area inside the region.

    Returns:
        The hotspots, the densest first; fewer than asked for, or none, where no more rectangle is eligible.
    """
    px, py = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not len(px) or geometry.is_empty:
        return []
    corners = Corners(px, py, np.asarray(scores, dtype=np.float64), sides_px)
    area = CoveredArea(geometry, min(sides_px) / _CELLS_A_SIDE)
    search = _Search(corners, area, min_share)
    found: list[Rectangle] = []
    while len(found) < n_hotspots and (hotspot := search.next_best()):
        found.append(hotspot)
    return found


class _Search:
    """Best-first search over boxes of corners; it goes on where it stopped when the next hotspot is asked for."""

    def __init__(self, corners: Corners, area: CoveredArea, min_share: float) -> None:
        self._corners = corners
        self._area = area
        self._rectangle_px2 = float(corners.sizes[0].prod())
        self._needed_px2 = (min_share - _SHARE_SLACK) * self._rectangle_px2
        self._open = corners.all_boxes()
        self._bound = corners.counts(self._open)
        self._eligible = self._open.take(np.zeros(0, dtype=np.int64))  # single corners found so far
        self._n_figures = np.zeros(0, dtype=np.int64)
        self._taken: list[Rectangle] = []

    def next_best(self) -> Rectangle | None:
        """The best eligible rectangle that meets none of those found before; None where there is none."""
        while len(self._open) and self._bound.max() >= self._n_figures.max(initial=1):
            self._look_closer()
        if not len(self._eligible):
            return None
        best = self._rectangle(self._best_of_ties())
        self._taken.append(best)
        self._drop_those_that_meet(best)
        return best

    def _look_closer(self) -> None:
        """Take the most promising open boxes: single corners are kept if eligible, larger boxes are halved."""
        n_looked_at = min(len(self._open), max(_MIN_BATCH, len(self._open) // _BATCH_SHARE))
        order = np.argpartition(-self._bound, n_looked_at - 1)
        chosen, rest = order[:n_looked_at], order[n_looked_at:]
        possible = self._can_hold_eligible(self._open.take(chosen))
        boxes, bound = self._open.take(chosen[possible]), self._bound[chosen[possible]]
        single = boxes.single
        self._eligible = self._eligible.joined(boxes.take(single))
        self._n_figures = np.concatenate([self._n_figures, bound[single]])
        halves = self._corners.halves(boxes.take(~single))
        for rectangle in self._taken:
            halves = halves.take(~self._all_meet(halves, rectangle))
        self._open = self._open.take(rest).joined(halves)
        self._bound = np.concatenate([self._bound[rest], self._corners.counts(halves)])

    def _can_hold_eligible(self, boxes: CornerBoxes) -> Flags:
        """Which boxes may hold an eligible corner; of a single corner, whether it is eligible."""
        enclosing = self._corners.enclosing(boxes)
        at_least, at_most = self._area.brackets(*enclosing)
        possible = (at_most >= self._needed_px2) & self._corners.touched(boxes)
        unsure = np.flatnonzero(possible & (at_least < self._needed_px2))
        exact = self._area.exact(*(edge[unsure] for edge in enclosing))
        possible[unsure] = exact >= self._needed_px2
        return possible

    def _drop_those_that_meet(self, rectangle: Rectangle) -> None:
        is_free = ~self._all_meet(self._eligible, rectangle)
        self._eligible, self._n_figures = self._eligible.take(is_free), self._n_figures[is_free]
        is_free = ~self._all_meet(self._open, rectangle)
        self._open, self._bound = self._open.take(is_free), self._bound[is_free]

    def _all_meet(self, boxes: CornerBoxes, rectangle: Rectangle) -> Flags:
        """Whether every rectangle of a box has a point in common with the given one."""
        x, y = self._corners.x, self._corners.y
        meets_x = (x.values[boxes.x_last] <= rectangle.x + rectangle.width) & (
            x.ends[boxes.orientation, boxes.x_first] >= rectangle.x
        )
        meets_y = (y.values[boxes.y_last] <= rectangle.y + rectangle.height) & (
            y.ends[boxes.orientation, boxes.y_first] >= rectangle.y
        )
        return np.asarray(meets_x & meets_y)

    def _best_of_ties(self) -> CornerBoxes:
        ties = self._eligible.take(self._n_figures == self._n_figures.max())
        x, y = self._corners.x.values[ties.x_first], self._corners.y.values[ties.y_first]
        unscored_last = -np.nan_to_num(self._corners.mean_scores(ties), nan=-np.inf)
        return ties.take(np.lexsort((ties.orientation, x, y, unscored_last))[:1])

    def _rectangle(self, corner: CornerBoxes) -> Rectangle:
        edges = self._corners.enclosing(corner)
        covered_px2 = float(self._area.exact(*edges)[0])
        width, height = self._corners.sizes[corner.orientation[0]].tolist()
        mean_score = float(self._corners.mean_scores(corner)[0])
        return Rectangle(
            x=float(edges[0][0]),
            y=float(edges[1][0]),
            width=width,
            height=height,
            n=int(self._corners.counts(corner)[0]),
            mean_score=None if np.isnan(mean_score) else mean_score,
            share_in_area=min(1.0, covered_px2 / self._rectangle_px2),
        )
