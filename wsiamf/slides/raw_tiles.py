"""The raw tiles of slides that OpenSlide reads, where the file is a TIFF whose tiles are OpenSlide's pixels.

OpenSlide decodes most tiles once for every crop that touches them; raw tiles are decoded once. They are used only where they
show what OpenSlide shows.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import tifffile

from wsiamf.addresses import Address
from wsiamf.errors import SlideError
from wsiamf.slides.interface import Slide
from wsiamf.slides.tiff_layout import READ_FAILURES, open_tiff
from wsiamf.slides.tiff_tiles import TiffTiles

_log = logging.getLogger(__name__)

_VENDORS: Final = frozenset({"aperio", "generic-tiff"})
"""Levels of one plain grid of tiles; other vendors overlap their tiles, leave gaps or join several scanned areas."""

_COMPRESSIONS: Final = frozenset(
    {
        tifffile.COMPRESSION.NONE,
        tifffile.COMPRESSION.LZW,
        tifffile.COMPRESSION.JPEG,
        tifffile.COMPRESSION.ADOBE_DEFLATE,
        tifffile.COMPRESSION.DEFLATE,
        tifffile.COMPRESSION.APERIO_JP2000_RGB,  # its sister in YCbCr (33003) is OpenSlide's alone
    }
)
_COLOURS: Final = frozenset({tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR})
_TOLERANCE: Final = 2  # grey levels by which another decoder may round otherwise


def open_raw_tiles(slide: Slide, level: int) -> TiffTiles | None:
    """The raw tiles of a level; None where they cannot be had or are not what ``read_region`` shows.

    Args:
        slide: A slide that OpenSlide reads.
        level: One of its levels.
    """
    if slide.vendor not in _VENDORS:
        return None
    try:
        tiles = _open(slide.path, slide.level_dimensions[level], slide.background)
    except (SlideError, *READ_FAILURES) as error:
        _log.debug("%s: no raw tiles of level %d: %s", slide.path, level, error)
        return None
    if tiles is None or _filled_from_finer_level(slide, level, tiles) or not _shows(slide, level, tiles):
        _log.debug("%s: level %d is read by regions.", slide.path, level)
        if tiles is not None:
            tiles.close()
        return None
    return tiles


def _open(path: Address, dimensions: tuple[int, int], background: tuple[int, int, int]) -> TiffTiles | None:
    with open_tiff(path) as tiff:
        pages: list[Any] = list(tiff.pages)
        own = [page for page in pages if page.is_tiled and (page.imagewidth, page.imagelength) == dimensions]
        if len(own) != 1 or not is_openslides(own[0]):
            return None
        return TiffTiles(own[0], background)


def is_openslides(page: Any) -> bool:
    """Whether the tiles of a page decode, as far as its tags tell, to the pixels that OpenSlide shows."""
    contiguous = page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    eight_bit = page.dtype == np.uint8 and page.samplesperpixel == 3 and page.imagedepth == 1
    return (
        contiguous and eight_bit and page.compression in _COMPRESSIONS and page.photometric in _COLOURS
    ) and not page.extrasamples


def _filled_from_finer_level(slide: Slide, level: int, tiles: TiffTiles) -> bool:
    """Whether OpenSlide paints tiles that an Aperio file leaves out: below level 0 it takes them from the level above."""
    return slide.vendor == "aperio" and level > 0 and tiles.missing


def _shows(slide: Slide, level: int, tiles: TiffTiles) -> bool:
    """Whether the tile that holds most has OpenSlide's pixels: a guard against colour spaces that the file misstates.

    Where it cannot be decoded nothing is known, and regions are read, which name what is damaged.
    """
    column, row = tiles.fullest
    downsample = slide.level_downsamples[level]
    if not downsample.is_integer():
        column, row = 0, 0  # elsewhere OpenSlide interpolates between pixels
    left, top = column * tiles.grid.tile_width, row * tiles.grid.tile_height
    width, height = slide.level_dimensions[level]
    size = (min(tiles.grid.tile_width, width - left), min(tiles.grid.tile_height, height - top))
    try:
        raw = tiles.decode(column, row)
        known = slide.read_region((left * int(downsample), top * int(downsample)), level, size)
    except SlideError:
        return False
    if raw is None:
        return False
    difference = np.abs(raw[: size[1], : size[0]].astype(np.int16) - known)
    return int(difference.max()) <= _TOLERANCE
