"""The density map: figures per mm2 in a moving Gaussian window, within the area that counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from wsiamf.geometry import UM2_PER_MM2, Bounds

Floats = NDArray[np.float64]

_CELLS: Final = 240  # along the longer side
_FINER: Final = 4  # the mask's cells are shares of an area, from this many samples a side
_WIDEST: Final = 0.15  # of the longer side: a window that is wider shows nothing
_LEAST_SHARE: Final = 0.5  # of a cell in the area, to be coloured
_STOPS: Final = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis


@dataclass(frozen=True)
class Density:
    """Figures per mm2 over a slide.

    Args:
        per_mm2: (rows, columns), NaN outside the area.
        sigma_um: Standard deviation of the window.
        of_hotspot: Whether the window's effective area, 4 pi sigma squared, is the hotspot's.
    """

    per_mm2: Floats
    sigma_um: float
    of_hotspot: bool

    @property
    def highest(self) -> float:
        """The highest value; 0 where nothing is in the area."""
        known = self.per_mm2[~np.isnan(self.per_mm2)]
        return float(known.max()) if len(known) else 0.0

    def as_index(self) -> NDArray[np.uint8]:
        """(rows, columns), 1 to 255 from nothing to the highest; 0 outside the area."""
        inside = ~np.isnan(self.per_mm2)
        scaled = np.zeros(self.per_mm2.shape)
        if self.highest > 0:
            scaled[inside] = self.per_mm2[inside] / self.highest
        return np.where(inside, 1 + np.rint(254 * scaled), 0).astype(np.uint8)


def density_of(
    x: Floats, y: Floats, bounds: Bounds, area: shapely.MultiPolygon | None, *, mpp: float, hotspot_mm2: float
) -> Density:
    """Smooth the figures, corrected at the rim of the area for what the window holds of it.

    Args:
        x, y: Level-0 px of the figures that count, (n,).
        bounds: The part of level 0 that is shown.
        area: Where figures count, level-0 px; None for everywhere.
        mpp: um per level-0 px.
        hotspot_mm2: Whose area the window has.
    """
    side_px = max(bounds.width, bounds.height) / _CELLS
    shape = (math.ceil(bounds.height / side_px), math.ceil(bounds.width / side_px))
    inside = np.ones(shape) if area is None else _share_inside(area, bounds, shape, side_px)
    row, column = ((y - bounds.y) / side_px).astype(int), ((x - bounds.x) / side_px).astype(int)
    kept = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    counts = np.zeros(shape)
    np.add.at(counts, (row[kept], column[kept]), 1.0)
    counts *= inside > 0
    sigma_um = 1000 * math.sqrt(hotspot_mm2 / (4 * math.pi))
    widest_um = _WIDEST * max(bounds.width, bounds.height) * mpp
    sigma_cells = min(sigma_um, widest_um) / (side_px * mpp)
    cell_mm2 = (side_px * mpp) ** 2 / UM2_PER_MM2
    seen_mm2 = ndimage.gaussian_filter(inside, sigma_cells, mode="constant") * cell_mm2
    seen = ndimage.gaussian_filter(counts, sigma_cells, mode="constant")
    shown = inside >= _LEAST_SHARE
    per_mm2 = np.full(shape, np.nan)
    per_mm2[shown] = seen[shown] / seen_mm2[shown]
    return Density(per_mm2, min(sigma_um, widest_um), of_hotspot=sigma_um <= widest_um)


def palette() -> NDArray[np.uint8]:
    """(256, 3) colours for ``Density.as_index``, from low to high."""
    stops = np.asarray(_STOPS, dtype=np.float64)
    places = np.linspace(0, len(stops) - 1, 255)
    colors = np.column_stack([np.interp(places, range(len(stops)), stops[:, k]) for k in range(3)])
    return np.vstack([[0, 0, 0], np.rint(colors)]).astype(np.uint8)


def gradient() -> list[tuple[str, str]]:
    """The same colours as (place, colour) of an SVG gradient."""
    return [(f"{100 * k / (len(_STOPS) - 1):g}%", "#{:02x}{:02x}{:02x}".format(*stop)) for k, stop in enumerate(_STOPS)]


def _share_inside(area: shapely.MultiPolygon, bounds: Bounds, shape: tuple[int, int], side_px: float) -> Floats:
    """(rows, columns) Share of each cell that lies in the area."""
    size = (shape[1] * _FINER, shape[0] * _FINER)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    corner, scale = np.array([bounds.x, bounds.y]), _FINER / side_px
    for part in area.geoms:
        _fill(draw, part.exterior, corner, scale, 255)
        for hole in part.interiors:
            _fill(draw, hole, corner, scale, 0)
    return np.asarray(mask.reduce(_FINER), dtype=np.float64) / 255


def _fill(draw: ImageDraw.ImageDraw, ring: shapely.LinearRing, corner: Floats, scale: float, value: int) -> None:
    points = (shapely.get_coordinates(ring) - corner) * scale - 0.5  # Pillow's px have their centres at whole numbers
    draw.polygon([(float(x), float(y)) for x, y in points], fill=value)
