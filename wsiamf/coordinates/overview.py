"""Low-resolution pictures of the whole slide: for the tissue mask, and where it costs nothing, for single nuclei."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsiamf.errors import SlideReadError
from wsiamf.slides import Slide

OVERVIEW_MPP: Final = 8.0
"""Resolution aimed at: a figure is about one px, a gland many."""

DETAIL_MPP: Final = 2.05
"""Coarsest resolution at which a nucleus still is a spot: 2 um, and what slides at 0.2527 um make of it."""

_BLOCK_PX: Final = 2048  # read at a time, in px of the level: 12 MiB
_MAX_DETAIL_PX: Final = 1 << 24  # 48 MiB


@dataclass(frozen=True)
class Picture:
    """A picture of all of level 0.

    Args:
        pixels: (height, width, 3), RGB uint8.
        scale: Level-0 px per picture px in x and y.
    """

    pixels: NDArray[np.uint8]
    scale: tuple[float, float]


@dataclass(frozen=True)
class Overview:
    """What one reading of a low level gives.

    Args:
        coarse: At about ``OVERVIEW_MPP``.
        detail: At about ``DETAIL_MPP``, where the level that was read is that fine and the slide not too large.
        unreadable: Number of blocks that could not be decoded, which are white.
    """

    coarse: Picture
    detail: Picture | None
    unreadable: int


def read_overview(slide: Slide, mpp: float, given_up: Event) -> Overview:
    """Read the whole slide once, block by block, from the coarsest level that is fine enough for ``OVERVIEW_MPP``.

    Args:
        mpp: um per level-0 px.
        given_up: Set by another thread when the picture is no longer wanted; what is not read yet stays white then.
    """
    target = max(1.0, OVERVIEW_MPP / mpp)
    level = max((k for k, down in enumerate(slide.level_downsamples) if down <= target), default=0)
    factor = max(1, int(target / slide.level_downsamples[level]))
    size = slide.level_dimensions[level]
    coarse = _Canvas(size, factor)
    fine = _detail_factor(mpp * slide.level_downsamples[level], factor)
    detail = _Canvas(size, fine) if fine and _pixels(size, fine) <= _MAX_DETAIL_PX else None
    unreadable = 0
    for left, top in _blocks(*size, factor):
        if given_up.is_set():
            break
        try:
            block = _read_block(slide, level, (left, top), factor)
        except SlideReadError:
            unreadable += 1
            continue
        for canvas in (coarse, detail):
            if canvas is not None:
                canvas.lay(block, left, top)
    return Overview(coarse.picture(slide), detail.picture(slide) if detail else None, unreadable)


def _detail_factor(level_mpp: float, factor: int) -> int:
    """By how much the level is reduced for the detail: a divisor of ``factor``, so that blocks fit; 0 for no detail."""
    return max((k for k in range(1, factor + 1) if factor % k == 0 and k * level_mpp <= DETAIL_MPP), default=0)


def _pixels(size: tuple[int, int], factor: int) -> int:
    return (size[0] // factor + 1) * (size[1] // factor + 1)


class _Canvas:
    """A level reduced by a whole number, filled block by block."""

    def __init__(self, size: tuple[int, int], factor: int) -> None:
        self._size, self._factor = size, factor
        self._pixels = np.full((math.ceil(size[1] / factor), math.ceil(size[0] / factor), 3), 255, dtype=np.uint8)

    def lay(self, block: Image.Image, left: int, top: int) -> None:
        """Enter a block of the level whose corner lies at a whole number of picture px."""
        reduced = np.asarray(block.reduce(self._factor))
        row, column = top // self._factor, left // self._factor
        self._pixels[row : row + reduced.shape[0], column : column + reduced.shape[1]] = reduced

    def picture(self, slide: Slide) -> Picture:
        """What was laid, with its scale."""
        (width, height), (level_width, level_height) = slide.dimensions, self._size
        return Picture(self._pixels, (width / (level_width / self._factor), height / (level_height / self._factor)))


def _side(factor: int) -> int:
    """Side of a block: a whole number of picture px."""
    return max(1, _BLOCK_PX // factor) * factor


def _blocks(width: int, height: int, factor: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, _side(factor)):
        for left in range(0, width, _side(factor)):
            yield left, top


def _read_block(slide: Slide, level: int, origin: tuple[int, int], factor: int) -> Image.Image:
    width, height = slide.level_dimensions[level]
    size = (min(_side(factor), width - origin[0]), min(_side(factor), height - origin[1]))
    downsample = slide.level_downsamples[level]
    location = (round(origin[0] * downsample), round(origin[1] * downsample))
    return Image.fromarray(slide.read_region(location, level, size))
