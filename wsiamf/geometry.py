"""Frames, units and the rounding rule, written once.

Frames: ``level-0 px`` are pixels of the slide file's finest level, (0, 0) being the *outer corner* of the first pixel;
``um`` are those times mpp; ``qupath px`` are level-0 px minus the corner of ``openslide.bounds-*`` (QuPath crops to it).
Order is (x, y) and (width, height).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIGURE_BOX_UM = 12.5
"""Side of the box drawn round a figure: MIDOG's 50 px at 0.25 um/px."""

UM2_PER_MM2 = 1e6


@dataclass(frozen=True)
class Bounds:
    """The part of level 0 that holds pixels, in level-0 px; ``x, y`` is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class SlideFrame:
    """What is needed to move points between the frames of one slide.

    Args:
        width, height: Size of level 0 in px.
        mpp: um per level-0 pixel.
        bounds: The non-empty part of level 0; the whole of it where the file names none.
        stated_mpp_xy: um per level-0 pixel of each axis as the file states it, which is what other programs go by; None
            where it states nothing.
        centre_offset_nm: How far the middle of the image lies from the centre of the glass slide, (x, y) in nm, which is
            where Hamamatsu's annotations count from; None where the file does not say.
    """

    width: int
    height: int
    mpp: float
    bounds: Bounds
    stated_mpp_xy: tuple[float, float] | None = None
    centre_offset_nm: tuple[float, float] | None = None

    @property
    def mpp_xy(self) -> tuple[float, float]:
        """um per level-0 pixel of each axis: the file's own, else ``mpp``."""
        return self.stated_mpp_xy or (self.mpp, self.mpp)

    def um_from_px(self, value: ArrayLike) -> NDArray[np.float64]:
        """Level-0 px to um."""
        return np.asarray(value, dtype=np.float64) * self.mpp

    def px_from_um(self, value: ArrayLike) -> NDArray[np.float64]:
        """um to level-0 px."""
        return np.asarray(value, dtype=np.float64) / self.mpp

    def qupath_from_level0(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Level-0 px to QuPath px."""
        return np.asarray(x, dtype=np.float64) - self.bounds.x, np.asarray(y, dtype=np.float64) - self.bounds.y

    def level0_from_qupath(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """QuPath px to level-0 px."""
        return np.asarray(x, dtype=np.float64) + self.bounds.x, np.asarray(y, dtype=np.float64) + self.bounds.y

    def mm2_from_px2(self, area_px2: float) -> float:
        """An area in level-0 px squared to mm2."""
        return area_px2 * self.mpp**2 / UM2_PER_MM2


def nearest_pixel(value: float) -> int:
    """The pixel boundary nearest to a coordinate: floor(value + 0.5), never banker's rounding."""
    return math.floor(value + 0.5)


def crop_origin(center: tuple[float, float], size_px: int) -> tuple[int, int]:
    """Upper left corner of an unresampled square crop: floor(x + 0.5) - size/2, in the px of ``center``.

    AMi-Br's 128 px crops start exactly there.
    """
    half = size_px // 2
    return nearest_pixel(center[0]) - half, nearest_pixel(center[1]) - half


def coverage(origin: tuple[float, float], side: float, dimensions: tuple[int, int]) -> float:
    """Share (0 to 1) of a square that lies inside an image; all lengths in the same px."""
    inside_x = min(origin[0] + side, dimensions[0]) - max(origin[0], 0)
    inside_y = min(origin[1] + side, dimensions[1]) - max(origin[1], 0)
    return max(inside_x, 0.0) * max(inside_y, 0.0) / side**2


def within_tolerance(mpp: float, target_mpp: float, tolerance: float) -> bool:
    """Whether a resolution may be read as the target's, without resampling (``tolerance`` is relative, 0.1 = 10 %)."""
    return abs(mpp / target_mpp - 1.0) <= tolerance + 1e-9


def hotspot_sides_um(area_mm2: float) -> tuple[float, float]:
    """Long and short side in um of the 4:3 rectangle of a given area (the field's hotspot, 2.37 mm2 by convention)."""
    area_um2 = area_mm2 * UM2_PER_MM2
    return math.sqrt(area_um2 * 4 / 3), math.sqrt(area_um2 * 3 / 4)
