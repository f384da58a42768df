"""Slides whose levels are pages of one TIFF: their strips or tiles are decoded one by one as they are needed."""

from __future__ import annotations

from abc import ABC
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsiamf.addresses import Address
from wsiamf.errors import SlideReadError
from wsiamf.slides.base import DescribedSlide, SlideDescription, blank
from wsiamf.slides.byte_ranges import ByteRanges, RemoteRanges
from wsiamf.slides.interface import Tiles
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.tiff_layout import READ_FAILURES
from wsiamf.slides.tiff_tiles import RawRows, TiffTiles, as_rgb

_CACHE_BYTES: Final = 64 << 20
"""Decoded strips and tiles that are kept; the last one is kept whatever its size, for files of one strip."""


class PagesSlide(DescribedSlide, ABC):
    """A slide each level of which is one page, without gaps and overlaps.

    Args:
        path: The file.
        description: Its header.
        given: The caller's resolution, which overrides the file's.
        pages: tifffile's, one a level, finest first.
        file: Keeps the pages' file open; closed with the slide.
        remote: The file where it is not on a local disk.
    """

    def __init__(
        self,
        path: Address,
        description: SlideDescription,
        given: Resolution | None,
        *,
        pages: Sequence[Any],
        file: ExitStack,
        remote: RemoteRanges | None,
    ) -> None:
        super().__init__(path, description, given)
        self._remote = remote
        with file:
            self._levels = [file.enter_context(closing(TiffLevel(page, self.background, remote))) for page in pages]
            self._file = file.pop_all()

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

    def _content_fingerprint(self) -> str:
        return super()._content_fingerprint() if self._remote is None else self._remote.fingerprint()

    def _release(self) -> None:
        self._levels = []
        self._file.close()


class TiffLevel:
    """The strips or tiles of one page, and the latest of them decoded.

    Args:
        page: tifffile's page, whose file is open.
        background: RGB of what the file leaves out, and below what is transparent.
        ranges: The page's file where it is not on a local disk.
    """

    def __init__(self, page: Any, background: tuple[int, int, int], ranges: ByteRanges | None = None) -> None:
        self._page = page
        self._background = background
        raw = _stands_as_it_is(page)
        self._mapped = _memory_map(page) if raw and ranges is None else None
        self._segments: TiffTiles | RawRows = (
            RawRows(page, background, ranges) if raw and ranges is not None else TiffTiles(page, background, ranges)
        )
        self._grid = self._segments.grid
        self._cache: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._cached_bytes = 0

    @property
    def segments(self) -> Tiles | None:
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


def _stands_as_it_is(page: Any) -> bool:
    """Whether the page's pixels stand in the file row by row, so that no strip need be read whole."""
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    return bool(not page.is_tiled and not separate and page.is_memmappable)


def _memory_map(page: Any) -> NDArray[np.uint8]:
    """The page's pixels, (height, width, samples)."""
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    pixels: NDArray[np.uint8] = np.memmap(
        page.parent.filehandle.path, dtype=np.uint8, mode="r", offset=page.dataoffsets[0], shape=shape
    )
    return pixels
