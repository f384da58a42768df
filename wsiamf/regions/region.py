"""The ``Region``: which part of a slide counts, as shapely geometry in level-0 px."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from wsiamf.geometry import UM2_PER_MM2, SlideFrame


@dataclass(frozen=True)
class Region:
    """The part of a slide in which figures count.

    Args:
        geometry: Valid multipolygon in level-0 px, clipped to the slide; may be empty.
        kind: ``roi`` where a person drew it, ``tissue`` where it is the tissue mask.
        notes: What a reader of the results should know of how it came about, one line each.
    """

    geometry: shapely.MultiPolygon
    kind: Literal["roi", "tissue"]
    notes: tuple[str, ...] = ()

    def area_mm2(self, mpp: float) -> float:
        """Area in mm2.

        Args:
            mpp: um per level-0 pixel.
        """
        return float(self.geometry.area) * mpp**2 / UM2_PER_MM2

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Which points lie inside; the boundary counts as inside.

        Args:
            x, y: Level-0 px, arrays of one shape (or scalars).

        Returns:
            Booleans of that shape.
        """
        shapely.prepare(self.geometry)
        inside = shapely.intersects_xy(self.geometry, np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        return np.asarray(inside, dtype=np.bool_)


def slide_box(frame: SlideFrame) -> shapely.Polygon:
    """The whole of level 0, in level-0 px."""
    return shapely.box(0, 0, frame.width, frame.height)


def multipolygon(geometry: Any) -> shapely.MultiPolygon:
    """The areas of any geometry; lines and points that an overlay left behind are dropped."""
    parts = shapely.get_parts(shapely.get_parts(geometry))  # twice: a collection may hold multipolygons
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and part.area > 0])
