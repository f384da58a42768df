"""A low-resolution picture of the whole slide, for the tissue mask."""

from __future__ import annotations

import math
from collections.abc import Iterator
from threading import Event
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsiamf.errors import SlideReadError
from wsiamf.slides import Slide

OVERVIEW_MPP: Final = 8.0
"""Resolution aimed at: a figure is about one px, a gland many."""

_BLOCK_PX: Final = 2048  # read at a time, in px of the level: 12 MiB


def read_overview(slide: Slide, mpp: float, given_up: Event) -> tuple[NDArray[np.uint8], tuple[float, float], int]:
    """Read the whole slide at about ``OVERVIEW_MPP``, block by block from the coarsest level that is fine enough.

    Args:
        mpp: um per level-0 px.
        given_up: Set by another thread when the picture is no longer wanted; what is not read yet stays white then.

    Returns:
        The picture (height, width, 3), RGB uint8; level-0 px per picture px in x and y; and the number of blocks that
        could not be decoded, which are white.
    """
    target = max(1.0, OVERVIEW_MPP / mpp)
    level = max((k for k, down in enumerate(slide.level_downsamples) if down <= target), default=0)
    factor = max(1, int(target / slide.level_downsamples[level]))
    width, height = slide.level_dimensions[level]
    picture = np.full((math.ceil(height / factor), math.ceil(width / factor), 3), 255, dtype=np.uint8)
    unreadable = 0
    for left, top in _blocks(width, height, factor):
        if given_up.is_set():
            break
        size = (min(_side(factor), width - left), min(_side(factor), height - top))
        try:
            block = _read_block(slide, level, (left, top), size, factor)
        except SlideReadError:
            unreadable += 1
            continue
        row, column = top // factor, left // factor
        picture[row : row + block.shape[0], column : column + block.shape[1]] = block
    scale = (slide.dimensions[0] / (width / factor), slide.dimensions[1] / (height / factor))
    return picture, scale, unreadable


def _side(factor: int) -> int:
    """Side of a block: a whole number of picture px."""
    return max(1, _BLOCK_PX // factor) * factor


def _blocks(width: int, height: int, factor: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, _side(factor)):
        for left in range(0, width, _side(factor)):
            yield left, top


def _read_block(
    slide: Slide, level: int, origin: tuple[int, int], size: tuple[int, int], factor: int
) -> NDArray[np.uint8]:
    downsample = slide.level_downsamples[level]
    location = (round(origin[0] * downsample), round(origin[1] * downsample))
    region = slide.read_region(location, level, size)
    return np.asarray(Image.fromarray(region).reduce(factor))
