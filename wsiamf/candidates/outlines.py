"""Points of outlines, many at once, and which outlines are regions of tissue rather than figures."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.wording import counted

REGION_UM: Final = 100.0
FIGURE_UM: Final = 50.0
"""An outline wider than the first, in a file that has objects narrower than the second, is a region: mitotic figures are
about 12 um wide, and the boxes that people draw round them two or three times that."""

_FINEST_MPP: Final = 0.1
_COARSEST_MPP: Final = 1.0
"""Of slides on which figures can be told."""


def region_limits_px(mpp: float) -> tuple[float, float]:
    """What is no wider than the first is no region, what is wider than the second may be one; they differ without ``mpp``."""
    return (REGION_UM / mpp,) * 2 if mpp > 0 else (REGION_UM / _COARSEST_MPP, REGION_UM / _FINEST_MPP)


class Outlines:
    """Objects of one ring or more, in the order in which they are added; a point is a ring of one vertex."""

    def __init__(self) -> None:
        self._x, self._y = array("d"), array("d")
        self._ring_starts, self._ring_is_hole = array("q"), array("b")
        self._object_starts = array("q")

    def __len__(self) -> int:
        return len(self._object_starts)

    def add(self, rings: Iterable[tuple[Sequence[Any], bool]]) -> bool:
        """Append an object.

        Args:
            rings: Vertices (x, y and perhaps more) of each ring, and whether it is a hole.

        Returns:
            Whether it is one; if not (a vertex is no pair of numbers, or there is none), an object without a place stands
            in its stead.
        """
        n_vertices, n_rings = len(self._x), len(self._ring_starts)
        self._object_starts.append(n_rings)
        try:
            for vertices, is_hole in rings:
                self._add_ring(vertices, is_hole=is_hole)
            right = len(self._ring_starts) > n_rings
        except (TypeError, LookupError, OverflowError, ValueError):
            right = False
        if not right:
            del self._x[n_vertices:], self._y[n_vertices:]
            del self._ring_starts[n_rings:], self._ring_is_hole[n_rings:]
            self._add_ring([(np.nan, np.nan)], is_hole=False)
        return right

    def _add_ring(self, vertices: Sequence[Any], *, is_hole: bool) -> None:
        if not vertices:
            raise ValueError("a ring without vertices")
        self._ring_starts.append(len(self._x))
        self._ring_is_hole.append(is_hole)
        for vertex in vertices:
            self._x.append(vertex[0])
            self._y.append(vertex[1])

    def places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 2) centres of area (the mean of the vertices of what has none), and (N,) the longer sides of their boxes.

        Both NaN for an object that has a coordinate which is not finite.
        """
        if not len(self):
            return np.empty((0, 2)), np.empty(0)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            centres, widths = self._places()
        lost = ~np.isfinite(centres).all(axis=1) | ~np.isfinite(widths)
        return np.where(lost[:, None], np.nan, centres), np.where(lost, np.nan, widths)

    def _places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ring_starts, object_starts = (np.asarray(a, dtype=np.int64) for a in (self._ring_starts, self._object_starts))
        vertex_starts = ring_starts[object_starts]
        xy = np.column_stack([np.asarray(self._x), np.asarray(self._y)])
        n_vertices = np.diff(vertex_starts, append=len(xy))
        corners = xy[vertex_starts]
        # near nought, where products of coordinates lose no digits
        xy -= np.repeat(corners, n_vertices, axis=0)
        means = np.add.reduceat(xy, vertex_starts) / n_vertices[:, None]
        sides = np.maximum.reduceat(xy, vertex_starts) - np.minimum.reduceat(xy, vertex_starts)
        areas, moments = self._ring_areas(xy, ring_starts)
        area = np.add.reduceat(areas, object_starts)
        moment = np.add.reduceat(moments, object_starts)
        has_area = area > 1e-9 * sides.prod(axis=1)
        inside = np.where(has_area[:, None], moment / np.where(has_area, area, 1.0)[:, None], means)
        return inside + corners, sides.max(axis=1)

    def _ring_areas(
        self, xy: NDArray[np.float64], ring_starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(R,) areas, less than nought for holes, and (R, 2) area times centre, whichever way the rings turn."""
        following = np.arange(1, len(xy) + 1)
        following[np.append(ring_starts[1:], len(xy)) - 1] = ring_starts
        after = xy[following]
        cross = xy[:, 0] * after[:, 1] - after[:, 0] * xy[:, 1]
        areas = np.add.reduceat(cross, ring_starts) / 2
        moments = np.add.reduceat((xy + after) * cross[:, None], ring_starts) / 6
        sign = np.where(np.asarray(self._ring_is_hole, dtype=np.bool_), -1.0, 1.0) * np.sign(areas)
        return areas * sign, moments * sign[:, None]


def region_rows(widths_px: NDArray[np.float64], mpp: float) -> NDArray[np.bool_]:
    """(N,) Which objects are regions: the wide ones beside figures; nobody knows without a resolution (NaN)."""
    widths_um = widths_px * mpp
    wide: NDArray[np.bool_] = widths_um > REGION_UM
    return wide if (widths_um < FIGURE_UM).any() else np.zeros(len(wide), dtype=np.bool_)


def may_hold_regions(widths_px: NDArray[np.float64], mpp: float) -> bool:
    """Whether ``region_rows`` might find regions if only the resolution were known."""
    known = widths_px[np.isfinite(widths_px)]
    if mpp > 0 or not len(known):
        return False
    widest, narrowest = float(known.max()), float(known.min())
    most, least = REGION_UM / _COARSEST_MPP, FIGURE_UM / _FINEST_MPP
    return bool(widest > most and narrowest < least and widest * FIGURE_UM > narrowest * REGION_UM)


def region_notes(n: int) -> tuple[str, ...]:
    """What the user is told of objects left out as regions."""
    return (f"{counted(n, 'outline')} wider than {REGION_UM:g} um taken for regions and left out",) if n else ()
