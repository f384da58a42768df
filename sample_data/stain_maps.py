"""Stain maps: how much haematoxylin and eosin lies on each pixel, and what light comes through (Beer-Lambert)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]

# Optical density per unit of stain in red, green, blue (Macenko et al., ISBI 2009).
HAEMATOXYLIN: Final = (0.5626, 0.7201, 0.4062)
EOSIN: Final = (0.2159, 0.8012, 0.5581)
GLASS: Final = (243.0, 242.0, 244.0)
PSF_SIGMA_PX: Final = 0.75
SENSOR_NOISE: Final = 1.3  # grey levels
_SPECKLE_SIDE: Final = 512
_FINE_PX: Final = 8


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Field:
    """A smooth random field of mean 0 and spread 1 whose hills are about ``scale_px`` apart; (height, width)."""
    if scale_px < _FINE_PX:  # a spline would show its grid
        field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale_px / 2.5, truncate=3)
    else:
        coarse = rng.standard_normal([int(side / scale_px) + 4 for side in shape], dtype=np.float32)
        field = _stretched(_stretched(coarse, shape[0], scale_px).T, shape[1], scale_px).T
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def _stretched(coarse: Field, length: int, scale_px: float) -> Field:
    """Stretch the first axis to ``length`` with a cubic B-spline."""
    place, t = np.divmod(np.arange(length) / scale_px, 1)
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    parts = [coarse[place.astype(int) + k] * weights[k].astype(np.float32)[:, None] for k in range(4)]
    return np.asarray(sum(parts), dtype=np.float32)


def soft_step(value: Field, width: float) -> Field:
    """0 below, 1 above, over a transition of about ``width`` on either side of 0."""
    return np.asarray(1 / (1 + np.exp(np.clip(-3 * value / width, -40, 40))), dtype=np.float32)


@dataclass(frozen=True)
class Window:
    """A square cut-out round a centre, and its pixels' offsets from that centre in px."""

    rows: slice
    columns: slice
    dx: Field
    dy: Field

    @property
    def index(self) -> tuple[slice, slice]:
        """For indexing a map."""
        return self.rows, self.columns

    def turned(self, angle: float) -> tuple[Field, Field]:
        """Offsets along and across an axis at ``angle`` (radians, from +x towards +y)."""
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return self.dx * cos + self.dy * sin, self.dy * cos - self.dx * sin


class StainMaps:
    """The two stains of the whole slide at level 0, (height, width) each, and speckle to roughen what is painted."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.shape = shape
        self.rng = rng
        self.haematoxylin: Field = np.zeros(shape, dtype=np.float32)
        self.eosin: Field = np.zeros(shape, dtype=np.float32)
        self._speckle = {scale: smooth_noise(rng, (_SPECKLE_SIDE, _SPECKLE_SIDE), scale) for scale in (2, 3, 5, 9)}

    def window(self, x: float, y: float, radius: float) -> Window:
        """The part of the slide within ``radius`` px of a point in level-0 px, cut at the slide's edge."""
        height, width = self.shape
        rows = slice(max(0, int(y - radius)), min(height, int(y + radius) + 1))
        columns = slice(max(0, int(x - radius)), min(width, int(x + radius) + 1))
        dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y)
        dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5 - x)
        return Window(rows, columns, *np.broadcast_arrays(dx, dy))

    def speckle(self, window: Window, scale_px: int) -> Field:
        """Random texture of a window's shape (mean 0, spread 1) with grains of 2, 3, 5 or 9 px."""
        height, width = window.dx.shape
        row, column = self.rng.integers(0, _SPECKLE_SIDE - max(height, width), size=2)
        return self._speckle[scale_px][row : row + height, column : column + width]

    def paint(self, window: Window, mask: Field, haematoxylin: Field | float, eosin: Field | float) -> None:
        """Blend stain amounts into a window; ``mask`` 0 keeps what is there, 1 replaces it."""
        for stain, amount in ((self.haematoxylin, haematoxylin), (self.eosin, eosin)):
            stain[window.index] += mask * (np.maximum(amount, 0) - stain[window.index])

    def transmitted(self) -> NDArray[np.uint8]:
        """The image that a scanner would see, RGB (height, width, 3)."""
        image = np.empty((*self.shape, 3), dtype=np.uint8)
        for channel in range(3):
            density = self.haematoxylin * HAEMATOXYLIN[channel] + self.eosin * EOSIN[channel]
            light = GLASS[channel] * np.power(np.float32(10), -density, dtype=np.float32)
            light = ndimage.gaussian_filter(light, PSF_SIGMA_PX, truncate=3)
            light += self.rng.standard_normal(self.shape, dtype=np.float32) * np.float32(SENSOR_NOISE)
            image[..., channel] = np.clip(np.rint(light), 0, 255)
        return image
