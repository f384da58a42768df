"""From the file's frame to level-0 px, and what to do with points off the slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.raw import PointsFrame, Unit, px_per_unit
from wsiamf.geometry import SlideFrame

MAX_OUTSIDE_PX = 25.0
"""How far a point may lie outside the slide and still be moved in: half the side of MIDOG's boxes, which it clips."""

PointsUnit = Literal["auto", "px", "um", "mm"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """How a file's numbers become level-0 px: unit, scale, swap, flip and frame, in that order.

    Args:
        frame: What the points count from.
        unit: Of the file's numbers.
        scale: Factor on both axes.
        swap_xy: The file's x is the slide's y.
        flip_y: y counts upwards from the frame's lower edge.
    """

    frame: PointsFrame = "level0"
    unit: Unit = "px"
    scale: float = 1.0
    swap_xy: bool = False
    flip_y: bool = False

    def level0(self, x: Floats, y: Floats, slide_frame: SlideFrame) -> tuple[Floats, Floats]:
        """The file's numbers, (N,) each, as level-0 px."""
        factor = px_per_unit(self.unit, slide_frame.mpp) * self.scale
        if factor != 1.0:
            with np.errstate(over="ignore"):  # what grows beyond all numbers lies off the slide
                x, y = x * factor, y * factor
        if self.swap_xy:
            x, y = y, x
        if self.flip_y:
            y = (slide_frame.bounds.height if self.frame == "qupath" else slide_frame.height) - y
        return slide_frame.level0_from_qupath(x, y) if self.frame == "qupath" else (x, y)


@dataclass(frozen=True)
class Placed:
    """N points on a slide.

    Args:
        x, y: (N,) level-0 px; inside the slide but for the rows in ``faults``, NaN where the file gives no point.
        faults: Why a row cannot be used, by index.
        n_moved: How many points lay just outside and were moved in.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    faults: dict[int, str]
    n_moved: int


def place(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    faults: Mapping[int, str],
    slide_frame: SlideFrame,
    placement: Placement,
) -> Placed:
    """Bring points into level-0 px and inside the slide.

    Args:
        x, y: (N,) as the file gives them; NaN where a row has no number.
        faults: Reasons known so far, by index.
        slide_frame: The slide's size and bounds.
        placement: How they become level-0 px.
    """
    x, y = placement.level0(x, y, slide_frame)
    half_given = np.isnan(x) | np.isnan(y)  # one coordinate alone is no point
    x, y = np.where(half_given, np.nan, x), np.where(half_given, np.nan, y)
    size = slide_frame.width, slide_frame.height
    outside = np.maximum(_outside(x, size[0]), _outside(y, size[1]))
    found = dict(faults)
    for index in np.flatnonzero(outside > MAX_OUTSIDE_PX).tolist():
        reason = f"({x[index]:g}, {y[index]:g}) lies off the slide ({size[0]} x {size[1]} px)"
        found[index] = f"{found[index]}, {reason}" if index in found else reason
    usable = np.ones(len(x), dtype=np.bool_)
    usable[list(found)] = False
    moved_x, moved_y = np.where(usable, _inside(x, size[0]), x), np.where(usable, _inside(y, size[1]), y)
    n_moved = int((usable & ((moved_x != x) | (moved_y != y))).sum())
    return Placed(moved_x, moved_y, found, n_moved)


def _outside(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """How far each coordinate lies outside [0, size]; NaN stays NaN."""
    return np.maximum(np.maximum(-values, values - size), 0.0)


def _inside(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The nearest representable coordinates in [0, size); never -0.0."""
    return np.clip(values, 0.0, np.nextafter(float(size), 0.0)) + 0.0
