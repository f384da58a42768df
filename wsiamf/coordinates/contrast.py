"""Do points sit on nuclei? How dark the red channel is at each point, ranked among places close by.

Haematoxylin takes up red light and eosin hardly does, so nuclei, and mitotic figures most of all, are the spots that are
dark in red. Points that have nothing to do with the picture rank evenly between 0 and 1, whatever the stain, the scanner
or the number of nuclei; figures rank near 1 (on crops of AMi-Br 0.95 on average, of AtNorM-MD 0.89).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wsiamf.coordinates.overview import DETAIL_MPP, Picture
from wsiamf.errors import SlideReadError
from wsiamf.slides import Slide

Floats = NDArray[np.float64]

_NEAR_UM: Final = 12.0  # nearer than this lies the figure itself
_FAR_UM: Final = 32.0
_FILTER_PX: Final = 2  # two filters of 3 x 3 px
_COARSEST_MPP: Final = 3.0  # a nucleus is no spot any more


@dataclass(frozen=True)
class _Source:
    """Where patches come from.

    Args:
        level: Of the slide.
        reduced: By which whole number its px are joined.
        px: Side of a joined px in level-0 px.
        mpp: Its side in um.
    """

    level: int
    reduced: int
    px: float
    mpp: float

    @property
    def half(self) -> int:
        """Half a patch's side less half a px, in joined px."""
        return math.ceil(_FAR_UM / self.mpp) + _FILTER_PX


class NucleusContrast:
    """Ranks points of one slide.

    Args:
        slide: The slide, used by this thread alone.
        mpp: um per level-0 px.
        detail: A picture of the whole slide that is fine enough, where there is one: nothing is read then.
    """

    def __init__(self, slide: Slide, mpp: float, detail: Picture | None) -> None:
        self._slide, self._detail = slide, detail
        self._source = _source(slide, mpp) if detail is None else _source_of(detail, mpp)

    @property
    def possible(self) -> bool:
        """Whether the slide is fine enough to show nuclei."""
        return self._source.mpp <= _COARSEST_MPP

    def ranks(self, x: Floats, y: Floats) -> Floats:
        """Share of the places 12 to 32 um away that are less dark than each point.

        Args:
            x, y: (N,) finite level-0 px.

        Returns:
            (N,) from 0 to 1; 0 for a point off the slide, NaN where the pixels cannot be read.
        """
        patches = [self._patch(*point) for point in zip(x.tolist(), y.tolist(), strict=True)]
        return _ranks(np.stack(patches), self._source.mpp) if patches else np.empty(0)

    def _patch(self, x: float, y: float) -> NDArray[np.float32]:
        """Red density (side, side) round a point; -inf off the slide, NaN where it cannot be read."""
        half, px = self._source.half, self._source.px
        side, left, top = 2 * half + 1, math.floor(x / px) - half, math.floor(y / px) - half
        width, height = (int(length / px) for length in self._slide.dimensions)
        density = np.full((side, side), -np.inf, dtype=np.float32)
        rows, columns = _overlap(top, side, height), _overlap(left, side, width)
        if rows.start < rows.stop and columns.start < columns.stop:
            try:
                density[rows, columns] = _density(self._red(left, top, side))[rows, columns]
            except SlideReadError:
                density[:] = np.nan
        return density

    def _red(self, left: int, top: int, side: int) -> NDArray[np.uint8]:
        """Red channel of a square in joined px; any value off the slide."""
        if self._detail is not None:
            height, width = self._detail.pixels.shape[:2]
            rows = np.clip(np.arange(top, top + side), 0, height - 1)
            columns = np.clip(np.arange(left, left + side), 0, width - 1)
            return np.asarray(self._detail.pixels[rows[:, None], columns, 0])
        corner = (round(left * self._source.px), round(top * self._source.px))
        length = side * self._source.reduced
        region = self._slide.read_region(corner, self._source.level, (length, length))
        return np.asarray(Image.fromarray(region[..., 0]).reduce(self._source.reduced))


def _source(slide: Slide, mpp: float) -> _Source:
    level = max((k for k, down in enumerate(slide.level_downsamples) if down * mpp <= DETAIL_MPP), default=0)
    level_mpp = mpp * slide.level_downsamples[level]
    reduced = max(1, int(DETAIL_MPP / level_mpp))
    return _Source(level, reduced, slide.level_downsamples[level] * reduced, level_mpp * reduced)


def _source_of(detail: Picture, mpp: float) -> _Source:
    px = sum(detail.scale) / 2
    return _Source(0, 1, px, px * mpp)


def _overlap(start: int, side: int, size: int) -> slice:
    """The part of ``range(start, start + side)`` within ``range(size)``, counted from ``start``."""
    return slice(max(0, -start), max(0, min(side, size - start)))


def _density(red: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(-np.log10((red.astype(np.float32) + 1.0) / 256.0), dtype=np.float32)


def _ranks(patches: NDArray[np.float32], mpp: float) -> Floats:
    """(N,) Ranks of the centres of patches (N, side, side)."""
    known = np.isfinite(patches)
    weight = ndimage.uniform_filter(known.astype(np.float32), (0, 3, 3), mode="nearest")
    mean = ndimage.uniform_filter(np.where(known, patches, 0), (0, 3, 3), mode="nearest")
    mean = np.where(known, mean / np.maximum(weight, 1e-6), -np.inf)
    dark = ndimage.maximum_filter(mean, (0, 3, 3), mode="nearest")  # points are a few um off, as people's clicks are
    half = patches.shape[1] // 2
    offset = np.arange(-half, half + 1) * mpp
    distance = np.hypot(offset[:, None], offset)
    ring = (distance >= _NEAR_UM) & (distance <= _FAR_UM)
    around, used = dark[:, ring], known[:, ring]
    centre = dark[:, half, half, None]
    below = (around < centre) * 1.0 + (around == centre) * 0.5
    ranks = np.where(used, below, 0.0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    ranks[~known[:, half, half]] = 0.0
    ranks[np.isnan(patches[:, half, half])] = np.nan
    return np.asarray(ranks, dtype=np.float64)
