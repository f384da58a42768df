"""Plain TIFF regions, such as MIDOG's, through tifffile: strips or tiles, decoded one by one as they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsiamf.errors import SlideReadError
from wsiamf.slides.base import DescribedSlide, SlideDescription, blank, grid_of
from wsiamf.slides.interface import TileGrid, Tiles
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.tiff_layout import (
    READ_FAILURES,
    open_tiff,
    pyramid,
    refuse_incomplete,
    refuse_stack,
    refuse_undecodable,
    refuse_vendor,
)
from wsiamf.slides.tiff_tiles import TiffTiles, as_rgb

_CACHE_BYTES: Final = 64 << 20
"""Decoded strips and tiles that are kept; the last one is kept whatever its size, for files of one strip."""

_UNITS: Final = {1: "none", 2: "inch", 3: "centimeter"}
_DEFAULT_UNIT: Final = 2


class TifffileSlide(DescribedSlide):
    """A plain TIFF that OpenSlide does not know.

    Args:
        path: The file.
        given: The caller's resolution, which overrides the file's.

    Raises:
        UnsupportedSlideError: It is a vendor's file, incomplete, a stack, or not decodable.
    """

    def __init__(self, path: Path, given: Resolution | None = None) -> None:
        with ExitStack() as stack:
            tiff = stack.enter_context(open_tiff(path))
            refuse_vendor(path, tiff)
            refuse_incomplete(path, tiff)
            refuse_stack(path, tiff)
            pages = pyramid(path, tiff)
            refuse_undecodable(path, pages)
            super().__init__(path, _describe(pages), given)
            self._levels = [stack.enter_context(closing(_Level(page, self.background))) for page in pages]
            self._file = stack.pop_all()

    @property
    def backend(self) -> str:
        return "tifffile"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        downsample = self.level_downsamples[level]
        left, top = (int(np.floor(value / downsample + 0.5)) for value in (x, y))
        region = blank(width, height, self.background)
        try:
            for (row, column), pixels in self._levels[level].read(left, top, width, height):
                region[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
        except READ_FAILURES as error:
            reason = " ".join(str(error).split())
            raise SlideReadError(
                f"{self.name}: {width} x {height} px at {(x, y)} of level {level} cannot be decoded: {reason}."
            ) from error
        return region

    def _tiles(self, level: int) -> Tiles | None:
        return self._levels[level].segments

    def duplicate(self) -> TifffileSlide:
        return TifffileSlide(self._path, self._given)

    def _release(self) -> None:
        self._levels = []
        self._file.close()


class _Level:
    """The strips or tiles of one page, and the latest of them decoded."""

    def __init__(self, page: Any, background: tuple[int, int, int]) -> None:
        self._page = page
        self._background = background
        self._mapped = _memory_map(page)
        self._segments = TiffTiles(page, background)
        self._grid = self._segments.grid
        self._cache: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._cached_bytes = 0

    @property
    def segments(self) -> TiffTiles | None:
        """The page's tiles or strips for threads; None where its pixels stand in the file as they are."""
        return self._segments if self._mapped is None else None

    def close(self) -> None:
        """Release the file."""
        self._segments.close()

    def read(self, left: int, top: int, width: int, height: int) -> Iterator[tuple[tuple[int, int], NDArray[np.uint8]]]:
        """The pieces of a box (px of this level) that lie in the picture, each with its (row, column) in the box."""
        right, bottom = min(left + width, self._page.imagewidth), min(top + height, self._page.imagelength)
        x0, y0 = max(left, 0), max(top, 0)
        if x0 >= right or y0 >= bottom:
            return
        if self._mapped is not None:
            yield (y0 - top, x0 - left), as_rgb(self._page, self._mapped[y0:bottom, x0:right], self._background)
            return
        for row in range(y0 // self._grid.tile_height, -(-bottom // self._grid.tile_height)):
            for column in range(x0 // self._grid.tile_width, -(-right // self._grid.tile_width)):
                segment_x, segment_y = column * self._grid.tile_width, row * self._grid.tile_height
                segment = self._segment(column, row)
                piece = segment[
                    max(y0 - segment_y, 0) : bottom - segment_y,
                    max(x0 - segment_x, 0) : right - segment_x,
                ]
                yield (max(y0, segment_y) - top, max(x0, segment_x) - left), piece

    def _segment(self, column: int, row: int) -> NDArray[np.uint8]:
        """One strip or tile as RGB, from the cache or decoded."""
        place = (column, row)
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        segment = self._segments.decode(column, row)
        if segment is None:  # a sparse file's empty tile: nothing was scanned there
            segment = blank(self._grid.tile_width, self._grid.tile_height, self._background)
        self._cache[place] = segment
        self._cached_bytes += segment.nbytes
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return segment


def _memory_map(page: Any) -> NDArray[np.uint8] | None:
    """The page's pixels where they stand in the file as they are, (height, width, samples): no strip need be read whole."""
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    if page.is_tiled or separate or not page.is_memmappable:
        return None
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    pixels: NDArray[np.uint8] = np.memmap(
        page.parent.filehandle.path, dtype=np.uint8, mode="r", offset=page.dataoffsets[0], shape=shape
    )
    return pixels


def _describe(pages: list[Any]) -> SlideDescription:
    dimensions = tuple((int(page.imagewidth), int(page.imagelength)) for page in pages)
    return SlideDescription(
        vendor="generic-tiff",
        level_dimensions=dimensions,
        level_downsamples=tuple(_downsample(dimensions[0], size) for size in dimensions),
        tile_grids=tuple(_tile_grid(page) for page in pages),
        properties=_properties(pages, dimensions),
    )


def _downsample(finest: tuple[int, int], size: tuple[int, int]) -> float:
    """As OpenSlide has it: the mean of both axes."""
    return (finest[0] / size[0] + finest[1] / size[1]) / 2


def _tile_grid(page: Any) -> TileGrid | None:
    if not page.is_tiled:
        return None
    return grid_of((page.imagewidth, page.imagelength), (page.tilewidth, page.tilelength))


def _properties(pages: list[Any], dimensions: tuple[tuple[int, int], ...]) -> dict[str, str]:
    """The file's metadata under the keys that OpenSlide would use."""
    properties = {"openslide.vendor": "generic-tiff", "openslide.level-count": str(len(pages))}
    for level, (width, height) in enumerate(dimensions):
        properties[f"openslide.level[{level}].width"] = str(width)
        properties[f"openslide.level[{level}].height"] = str(height)
        properties[f"openslide.level[{level}].downsample"] = f"{_downsample(dimensions[0], (width, height)):.17g}"
        if (grid := _tile_grid(pages[level])) is not None:
            properties[f"openslide.level[{level}].tile-width"] = str(grid.tile_width)
            properties[f"openslide.level[{level}].tile-height"] = str(grid.tile_height)
    return properties | _tag_properties(pages[0])


def _tag_properties(page: Any) -> dict[str, str]:
    properties = {}
    for name in ("ImageDescription", "Make", "Model", "Software", "DateTime"):
        if isinstance(value := page.tags.valueof(name), str):
            properties[f"tiff.{name}"] = value
    for name in ("XResolution", "YResolution"):
        value = page.tags.valueof(name)
        if isinstance(value, tuple) and len(value) == 2 and value[1] != 0:
            properties[f"tiff.{name}"] = f"{value[0] / value[1]:.17g}"
    unit = page.tags.valueof("ResolutionUnit", default=_DEFAULT_UNIT)
    properties["tiff.ResolutionUnit"] = _UNITS.get(int(unit), "none")
    return properties
