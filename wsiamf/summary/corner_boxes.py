"""Boxes of corners: sets of same-sized rectangles by where their upper left corner is, and what figures they can hold.

A box is a range of the figures' distinct x times a range of their distinct y, for one orientation. Its *enclosing rectangle*
is what its rectangles cover together; the box of a single corner is enclosed by its rectangle itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.summary.range_sums import RangeSums

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class CornerBoxes:
    """Boxes of corners, (n,) each: orientation, and first and last place among the figures' distinct x and y."""

    orientation: Ints
    x_first: Ints
    x_last: Ints
    y_first: Ints
    y_last: Ints

    def __len__(self) -> int:
        return len(self.orientation)

    def take(self, chosen: Ints | Flags) -> CornerBoxes:
        """Some of them, by number or by a mask."""
        return CornerBoxes(
            self.orientation[chosen],
            self.x_first[chosen],
            self.x_last[chosen],
            self.y_first[chosen],
            self.y_last[chosen],
        )

    def joined(self, other: CornerBoxes) -> CornerBoxes:
        """These and then the others."""
        return CornerBoxes(
            np.concatenate([self.orientation, other.orientation]),
            np.concatenate([self.x_first, other.x_first]),
            np.concatenate([self.x_last, other.x_last]),
            np.concatenate([self.y_first, other.y_first]),
            np.concatenate([self.y_last, other.y_last]),
        )

    @property
    def single(self) -> Flags:
        """Which hold one corner."""
        return np.asarray((self.x_first == self.x_last) & (self.y_first == self.y_last))


_FEW: Final = 64
"""Rectangles whose scores are added up figure by figure."""


class _Axis:
    """The figures' distinct coordinates along one axis, as edges of rectangles, and the ranks of the figures in reach."""

    def __init__(self, coordinates: Floats, sides_px: tuple[float, float]) -> None:
        self.order: Ints = np.argsort(coordinates, kind="stable")
        in_order = coordinates[self.order]
        self.values = np.unique(in_order)
        self.ends = self.values + np.asarray(sides_px)[:, None]  # (2, distinct): where a rectangle from here ends
        self.rank_from = np.searchsorted(in_order, self.values, side="left")
        self.rank_after = np.searchsorted(in_order, self.values, side="right")
        self.rank_to = np.searchsorted(in_order, self.ends, side="right")


class Corners:
    """The counted figures, asked for what rectangles at their coordinates hold."""

    def __init__(self, x: Floats, y: Floats, scores: Floats, sides_px: tuple[float, float]) -> None:
        long, short = sides_px
        self.sizes = np.array([(long, short), (short, long)])  # (width, height) by orientation
        self.x = _Axis(x, (long, short))
        self.y = _Axis(y, (short, long))
        is_scored = np.isfinite(scores)
        largest = float(np.abs(scores[is_scored]).max(initial=1.0))
        # scores in whole units, as fine as 63 bits hold a sum of all of them: sums do not depend on their order
        self._unit = 2.0 ** (np.ceil(np.log2(largest)) + len(x).bit_length() - 62)
        self._units = np.rint(np.where(is_scored, scores, 0.0) / self._unit).astype(np.int64)
        self._is_scored = is_scored
        self._figures = (x, y)
        self._scores_inside: RangeSums | None = None
        self._inside = RangeSums(self.x.order, self.y.order)

    def all_boxes(self) -> CornerBoxes:
        """One box an orientation that holds every corner."""
        zeros = np.zeros(2, dtype=np.int64)
        last_x, last_y = len(self.x.values) - 1, len(self.y.values) - 1
        return CornerBoxes(np.arange(2), zeros, zeros + last_x, zeros, zeros + last_y)

    def enclosing(self, boxes: CornerBoxes) -> tuple[Floats, Floats, Floats, Floats]:
        """Left, top, right, bottom of what the rectangles of each box cover together, in px."""
        right = self.x.ends[boxes.orientation, boxes.x_last]
        bottom = self.y.ends[boxes.orientation, boxes.y_last]
        return self.x.values[boxes.x_first], self.y.values[boxes.y_first], right, bottom

    def counts(self, boxes: CornerBoxes) -> Ints:
        """Figures in the enclosing rectangle."""
        return self._inside.counts(*self._ranks(boxes))

    def touched(self, boxes: CornerBoxes) -> Flags:
        """Whether a figure can lie on the left edge, and one on the top edge, of a rectangle of the box."""
        x_from, x_to, y_from, y_to = self._ranks(boxes)
        on_left = self._inside.counts(x_from, self.x.rank_after[boxes.x_last], y_from, y_to) > 0
        on_top = self._inside.counts(x_from, x_to, y_from, self.y.rank_after[boxes.y_last]) > 0
        return on_left & on_top

    def mean_scores(self, boxes: CornerBoxes) -> Floats:
        """Mean score of the figures in the enclosing rectangle that have one; NaN where none has."""
        units, n_scored = self._few_sums(boxes) if len(boxes) <= _FEW else self._many_sums(boxes)
        means = units / np.maximum(n_scored, 1) * self._unit
        return np.where(n_scored > 0, means, np.nan)

    def halves(self, boxes: CornerBoxes) -> CornerBoxes:
        """Every box cut in two across its longer extent in px."""
        extent_x = self.x.values[boxes.x_last] - self.x.values[boxes.x_first]
        extent_y = self.y.values[boxes.y_last] - self.y.values[boxes.y_first]
        cut_x = extent_x >= extent_y
        middle_x, middle_y = (boxes.x_first + boxes.x_last) // 2, (boxes.y_first + boxes.y_last) // 2
        x_last, x_first = np.where(cut_x, middle_x, boxes.x_last), np.where(cut_x, middle_x + 1, boxes.x_first)
        y_last, y_first = np.where(cut_x, boxes.y_last, middle_y), np.where(cut_x, boxes.y_first, middle_y + 1)
        lower = CornerBoxes(boxes.orientation, boxes.x_first, x_last, boxes.y_first, y_last)
        return lower.joined(CornerBoxes(boxes.orientation, x_first, boxes.x_last, y_first, boxes.y_last))

    def _few_sums(self, boxes: CornerBoxes) -> tuple[Ints, Ints]:
        """Sum of the scores in units and number of scores in each enclosing rectangle, looking at every figure."""
        x, y = self._figures
        inside = ((x >= a) & (x <= c) & (y >= b) & (y <= d) for a, b, c, d in zip(*self.enclosing(boxes), strict=True))
        sums = [(self._units[within].sum(), np.count_nonzero(self._is_scored[within])) for within in inside]
        units, n_scored = np.array(sums, dtype=np.int64).reshape(-1, 2).T
        return units, n_scored

    def _many_sums(self, boxes: CornerBoxes) -> tuple[Ints, Ints]:
        """The same from running sums, which take more memory than all the rest and are seldom needed."""
        if self._scores_inside is None:
            weights = [self._units, self._is_scored.astype(np.int64)]
            self._scores_inside = RangeSums(self.x.order, self.y.order, weights)
        ranks = self._ranks(boxes)
        return self._scores_inside.sums(0, *ranks), self._scores_inside.sums(1, *ranks)

    def _ranks(self, boxes: CornerBoxes) -> tuple[Ints, Ints, Ints, Ints]:
        x_to = self.x.rank_to[boxes.orientation, boxes.x_last]
        y_to = self.y.rank_to[boxes.orientation, boxes.y_last]
        return self.x.rank_from[boxes.x_first], x_to, self.y.rank_from[boxes.y_first], y_to
