"""Deep-zoom tiles straight from a slide: which tiles there are, and what each shows.

A deep-zoom level holds half the px of the next one, whatever levels the file has; the last is level 0. Tiles do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image

from wsiamf.slides import Slide

TILE_PX: Final = 512
"""Side of a tile; a quarter of the requests that 256 px would need."""

_BLOCK_PX: Final = 2048  # read at a time, in px of the file's level: 12 MiB, whatever the file lacks in levels
_SAME: Final = 1.01  # a level whose downsample is off by less is as good as the deep-zoom level itself


@dataclass(frozen=True)
class Pyramid:
    """The deep-zoom levels of an image.

    Args:
        width, height: Size of level 0 in px.
    """

    width: int
    height: int

    @property
    def last_level(self) -> int:
        """Number of the level that is level 0."""
        return math.ceil(math.log2(max(self.width, self.height, 1)))

    @property
    def first_level(self) -> int:
        """Number of the finest level that is one tile: nothing is gained by those below."""
        fits = [k for k in range(self.last_level + 1) if max(self.size(k)) <= TILE_PX]
        return max(fits, default=0)

    def downsample(self, level: int) -> int:
        """Level-0 px per px of a deep-zoom level."""
        return 1 << (self.last_level - level)

    def size(self, level: int) -> tuple[int, int]:
        """(width, height) of a deep-zoom level in its own px."""
        downsample = self.downsample(level)
        return math.ceil(self.width / downsample), math.ceil(self.height / downsample)

    def box(self, level: int, column: int, row: int) -> tuple[int, int, int, int] | None:
        """(left, top, width, height) of a tile in px of its level, or None where there is no such tile."""
        if not self.first_level <= level <= self.last_level or column < 0 or row < 0:
            return None
        width, height = self.size(level)
        left, top = column * TILE_PX, row * TILE_PX
        if left >= width or top >= height:
            return None
        return left, top, min(TILE_PX, width - left), min(TILE_PX, height - top)


def read_tile(slide: Slide, pyramid: Pyramid, level: int, box: tuple[int, int, int, int]) -> Image.Image:
    """Read one tile from the coarsest level of the file that is fine enough.

    Args:
        level: Deep-zoom level.
        box: (left, top, width, height) in px of that level, as ``Pyramid.box`` gives it.

    Returns:
        RGB; the last column and row are narrower than ``TILE_PX``.

    Raises:
        SlideReadError: The pixels could not be decoded.
    """
    downsample = pyramid.downsample(level)
    file_level = max(k for k, down in enumerate(slide.level_downsamples) if down <= downsample * _SAME)
    ratio = downsample / slide.level_downsamples[file_level]
    left, top, width, height = box
    tile = Image.new("RGB", (width, height), slide.background)
    for x, y, across, down in _blocks(width, height, ratio):
        part = _read_reduced(slide, file_level, (left + x, top + y, across, down), downsample)
        tile.paste(part, (x, y))
    return tile


def _blocks(width: int, height: int, ratio: float) -> Iterator[tuple[int, int, int, int]]:
    """Parts of a tile that read no more than a block of the file each: (x, y, width, height) in px of the tile."""
    side = max(1, int(_BLOCK_PX / ratio))
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield x, y, min(side, width - x), min(side, height - y)


def _read_reduced(slide: Slide, file_level: int, box: tuple[int, int, int, int], downsample: int) -> Image.Image:
    """A part of a deep-zoom level, averaged from the px of a level of the file."""
    file_downsample = slide.level_downsamples[file_level]
    ratio = downsample / file_downsample
    left, top, width, height = box
    exact = (left * ratio, top * ratio, (left + width) * ratio, (top + height) * ratio)
    x0, y0 = math.floor(exact[0]), math.floor(exact[1])
    size = (math.ceil(exact[2]) - x0, math.ceil(exact[3]) - y0)
    location = (round(x0 * file_downsample), round(y0 * file_downsample))
    region = Image.fromarray(slide.read_region(location, file_level, size))
    if region.size == (width, height):
        return region
    if size == (width * round(ratio), height * round(ratio)):
        return region.reduce(round(ratio))
    inside = (exact[0] - x0, exact[1] - y0, min(exact[2] - x0, size[0]), min(exact[3] - y0, size[1]))
    return region.resize((width, height), Image.Resampling.BOX, box=inside)
