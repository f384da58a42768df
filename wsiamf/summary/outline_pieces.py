"""A region's outline as straight segments, cut at the lines of a grid, and the area on their one side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """Straight pieces of an outline, (n,) each; shells run so that minus the integral of y dx is their area, holes against."""

    x0: Floats
    y0: Floats
    x1: Floats
    y1: Floats

    def take(self, chosen: Ints | NDArray[np.bool_]) -> Segments:
        """Some of them, by number or by a mask."""
        return Segments(self.x0[chosen], self.y0[chosen], self.x1[chosen], self.y1[chosen])

    def heights_inside(self, left: Floats, right: Floats, top: Floats, bottom: Floats) -> Floats:
        """Minus the integral of y - top, clamped to [0, bottom - top], over the x of each segment in [left, right].

        Summed over a closed outline this is the area inside the rectangle.

        Args:
            left, right, top, bottom: (n,), one rectangle a segment.
        """
        x0, x1 = np.clip(self.x0, left, right), np.clip(self.x1, left, right)
        y0, y1 = self._y_at(x0), self._y_at(x1)
        low, high = np.minimum(y0, y1), np.maximum(y0, y1)
        low_inside, high_inside = np.clip(low, top, bottom), np.clip(high, top, bottom)
        inside = (high_inside - low_inside) * ((high_inside + low_inside) / 2 - top)
        beyond = (np.maximum(high, bottom) - np.maximum(low, bottom)) * (bottom - top)
        rise = high - low
        is_level = rise == 0
        mean_height = np.where(is_level, low_inside - top, (inside + beyond) / np.where(is_level, 1.0, rise))
        return np.asarray((x0 - x1) * mean_height)

    def _y_at(self, x: Floats) -> Floats:
        along = (x - self.x0) / (self.x1 - self.x0)
        return np.asarray(self.y0 + np.clip(along, 0.0, 1.0) * (self.y1 - self.y0))


def region_outline(geometry: shapely.MultiPolygon, left: float, top: float) -> Segments:
    """All edges of a geometry, moved so that its upper left corner is (0, 0)."""
    rings, polygon = shapely.get_rings(shapely.get_parts(geometry), return_index=True)
    is_shell = np.diff(polygon, prepend=-1) != 0  # each polygon's first ring
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    corners = corners - [left, top]
    joined = np.flatnonzero(ring[1:] == ring[:-1])
    x0, y0 = corners[joined].T
    x1, y1 = corners[joined + 1].T
    doubled_area = np.bincount(ring[joined], x0 * y1 - x1 * y0, len(rings))
    turned = ((doubled_area > 0) != is_shell)[ring[joined]]
    return Segments(
        np.where(turned, x1, x0), np.where(turned, y1, y0), np.where(turned, x0, x1), np.where(turned, y0, y1)
    )


def cut_at_grid(segments: Segments, cell: float) -> Segments:
    """Cut segments at every grid line; upright pieces, which enclose nothing in an integral over x, are left out."""
    segments = segments.take(segments.x0 != segments.x1)
    n = len(segments.x0)
    owner_x, at_x = _crossings(segments.x0, segments.x1, cell)
    owner_y, at_y = _crossings(segments.y0, segments.y1, cell)
    owner = np.concatenate([np.arange(n), owner_x, owner_y, np.arange(n)])
    at = np.concatenate([np.zeros(n), at_x, at_y, np.ones(n)])
    order = np.lexsort((at, owner))
    owner, at = owner[order], at[order]
    start = np.flatnonzero(owner[1:] == owner[:-1])
    whole, t0, t1 = segments.take(owner[start]), at[start], at[start + 1]
    dx, dy = whole.x1 - whole.x0, whole.y1 - whole.y0
    pieces = Segments(whole.x0 + t0 * dx, whole.y0 + t0 * dy, whole.x0 + t1 * dx, whole.y0 + t1 * dy)
    return pieces.take(pieces.x0 != pieces.x1)


def _crossings(start: Floats, end: Floats, cell: float) -> tuple[Ints, Floats]:
    """Where segments cross the lines of one direction: the segments' numbers, and places along them in [0, 1]."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.floor(low / cell).astype(np.int64) + 1
    n_lines = np.maximum(np.ceil(high / cell).astype(np.int64) - first, 0)
    owner = np.repeat(np.arange(len(start)), n_lines)
    line = np.arange(len(owner)) - np.repeat(np.cumsum(n_lines) - n_lines, n_lines) + first[owner]
    at = (line * cell - start[owner]) / (end - start)[owner]
    return owner, np.clip(at, 0.0, 1.0)
