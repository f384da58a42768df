"""The strips and tiles of one TIFF page, decoded one by one from any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsiamf.errors import SlideReadError
from wsiamf.slides.base import grid_of
from wsiamf.slides.byte_ranges import ByteRanges, LocalRanges
from wsiamf.slides.interface import TileGrid, Tiles
from wsiamf.slides.jpeg_head import jpeg_size
from wsiamf.slides.jpeg_tiles import jpeg_decoder
from wsiamf.slides.tiff_layout import READ_FAILURES

_RUN_BYTES: Final = 1 << 20  # of rows that are read at once where none are compressed
_JPEGS: Final = frozenset({tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.ALT_JPEG})
_JPEG_BLOCK_PX: Final = 16  # at most, of the four blocks that share their colour
_DECODED_AS_RGB: Final = frozenset({tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR})


class TiffTiles(Tiles):
    """The segments (strips or tiles) of a page.

    Args:
        page: tifffile's page, whose file is open; only its layout is used, so that the file's position is never shared.
        background: RGB that transparent pixels are laid over.
        ranges: The page's file where it is not on a local disk.

    Raises:
        OSError: The file cannot be opened again.
    """

    def __init__(self, page: Any, background: tuple[int, int, int], ranges: ByteRanges | None = None) -> None:
        tiled = page.is_tiled
        width = page.tilewidth if tiled else page.imagewidth
        height = page.tilelength if tiled else min(page.rowsperstrip, page.imagelength)
        self._name = str(page.parent.filehandle.name)
        self._grid = grid_of((page.imagewidth, page.imagelength), (width, height))
        self._page = page
        self._background = background
        self._is_rgb = page.samplesperpixel == 3 and page.photometric in _DECODED_AS_RGB
        self._planes = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
        # All of these may read from the file when first asked for: here, before there are threads.
        self._decoder, jpegtables = page.decode, page.jpegtables
        given = {"jpegtables": jpegtables, "jpegheader": page.jpegheader}
        self._options = {name: value for name, value in given.items() if value is not None}
        self._states_its_size = page.compression in _JPEGS and page.jpegheader is None
        self._jpeg_decoder = jpeg_decoder(page) if page.compression in _JPEGS else None
        self._offsets, self._counts = tuple(page.dataoffsets), tuple(page.databytecounts)
        self._own: LocalRanges | None = None
        self.waits = ranges is not None
        if ranges is None:
            ranges = self._own = LocalRanges(Path(page.parent.filehandle.path))
        self._ranges = ranges

    @property
    def grid(self) -> TileGrid:
        return self._grid

    @property
    def missing(self) -> bool:
        """Whether the file leaves some segment out."""
        return 0 in self._counts

    @property
    def fullest(self) -> tuple[int, int]:
        """(column, row) of the segment of most bytes, in the first plane: tissue, where there is any."""
        row, column = divmod(int(np.argmax(self._counts[: self._grid.columns * self._grid.rows])), self._grid.columns)
        return column, row

    def decode(self, column: int, row: int) -> NDArray[np.uint8] | None:
        index = row * self._grid.columns + column
        try:
            samples = self._decode_plane(index) if self._planes == 1 else self._decode_planes(index)
        except READ_FAILURES as error:
            raise SlideReadError(
                f"{self._name}: tile {(column, row)} cannot be decoded: {' '.join(str(error).split())}."
            ) from error
        if samples is None or self._is_rgb:
            return samples
        return as_rgb(self._page, samples, self._background)

    def close(self) -> None:
        """Release the file; harmless when called twice."""
        if self._own is not None:
            self._own.close()

    def _decode_planes(self, index: int) -> NDArray[np.uint8] | None:
        """One segment of every plane, (height, width, samples)."""
        per_plane = self._grid.columns * self._grid.rows
        decoded = [self._decode_plane(index + plane * per_plane) for plane in range(self._planes)]
        planes = [plane for plane in decoded if plane is not None]
        return np.concatenate(planes, axis=2) if len(planes) == self._planes else None

    def _decode_plane(self, index: int) -> NDArray[np.uint8] | None:
        """One segment of one plane, (height, width, samples)."""
        count = self._counts[index]
        if not count:
            return None
        data = self._ranges.read(self._offsets[index], count)
        if len(data) < count:
            raise EOFError("the file ends within it")
        self._refuse_larger(data)
        if self._jpeg_decoder is not None:
            whole = self._jpeg_decoder(data)
            if whole.shape[:2] == (self._grid.tile_height, self._grid.tile_width):
                return whole
        # A JPEG of another size, at the edge, was decoded for its errors alone: tifffile knows how to fit it.
        pixels, _, shape = self._decoder(data, index, **self._options)
        segment: NDArray[np.uint8] = np.asarray(pixels).reshape(shape)[0]
        return segment

    def _refuse_larger(self, data: bytes) -> None:
        """A JPEG tile has a size of its own, which a decoder allocates whatever the file's directory says.

        So have tiles in WebP, PNG, JPEG 2000 and JPEG XL, whose sizes are not looked at: they are checked once decoded.
        """
        stated = jpeg_size(data) if self._states_its_size else None
        grid = self._grid
        if stated is not None and (
            stated[0] > _whole_blocks(grid.tile_width) or stated[1] > _whole_blocks(grid.tile_height)
        ):
            raise ValueError(
                f"its JPEG is of {stated[0]} x {stated[1]} px, where a tile has {grid.tile_width} x {grid.tile_height}"
            )


class RawRows(Tiles):
    """Runs of whole rows of a page whose pixels stand in the file as they are, where the file cannot be mapped into memory.

    Args:
        page: tifffile's page: not tiled, one plane, ``is_memmappable``.
        background: RGB that transparent pixels are laid over.
        ranges: The page's file.
    """

    waits = True

    def __init__(self, page: Any, background: tuple[int, int, int], ranges: ByteRanges) -> None:
        self._page, self._background, self._ranges = page, background, ranges
        self._name = str(page.parent.filehandle.name)
        self._row_bytes = page.imagewidth * page.samplesperpixel
        rows = min(page.imagelength, max(1, _RUN_BYTES // self._row_bytes))
        self._grid = grid_of((page.imagewidth, page.imagelength), (page.imagewidth, rows))
        self._offset = int(page.dataoffsets[0])

    @property
    def grid(self) -> TileGrid:
        return self._grid

    def decode(self, column: int, row: int) -> NDArray[np.uint8]:
        top = row * self._grid.tile_height
        rows = min(self._grid.tile_height, self._page.imagelength - top)
        count = rows * self._row_bytes
        data = self._ranges.read(self._offset + top * self._row_bytes, count)
        if len(data) < count:
            raise SlideReadError(f"{self._name}: tile {(column, row)} cannot be decoded: the file ends within it.")
        samples = np.frombuffer(data, dtype=np.uint8).reshape(rows, self._page.imagewidth, -1)
        return as_rgb(self._page, samples, self._background)

    def close(self) -> None:
        """There is nothing to release."""


class JoinedTiles(Tiles):
    """Red, green and blue from three pages of grey that are cut alike.

    Args:
        colours: The tiles of each, which ``close`` closes.
    """

    def __init__(self, colours: Sequence[TiffTiles]) -> None:
        self._colours = colours
        self.waits = any(tiles.waits for tiles in colours)

    @property
    def grid(self) -> TileGrid:
        return self._colours[0].grid

    def decode(self, column: int, row: int) -> NDArray[np.uint8] | None:
        decoded = [tiles.decode(column, row) for tiles in self._colours]
        present = [samples[..., 0] for samples in decoded if samples is not None]
        return np.stack(present, axis=2) if len(present) == len(decoded) else None

    def close(self) -> None:
        """Release the file; harmless when called twice."""
        for tiles in self._colours:
            tiles.close()


def _whole_blocks(side: int) -> int:
    """A side in px, rounded up as encoders round it."""
    return -(-side // _JPEG_BLOCK_PX) * _JPEG_BLOCK_PX


def as_rgb(page: Any, samples: NDArray[np.uint8], background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Samples of a page, (height, width, n), as RGB; alpha is laid over the background."""
    n_colours = 3 if samples.shape[2] >= 3 else 1
    colours: NDArray[np.uint8] = samples[..., :n_colours]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        colours = 255 - colours
    rgb: NDArray[np.uint8] = np.repeat(colours, 3, axis=2) if n_colours == 1 else colours
    if samples.shape[2] == n_colours or not page.extrasamples or page.extrasamples[0] == 0:
        return rgb
    alpha = samples[..., n_colours:].astype(np.uint32)
    premultiplied = page.extrasamples[0] == tifffile.EXTRASAMPLE.ASSOCALPHA
    light = rgb.astype(np.uint32) * (255 if premultiplied else alpha)
    laid: NDArray[np.uint32] = (light + np.array(background, dtype=np.uint32) * (255 - alpha) + 127) // 255
    return laid.clip(max=255).astype(np.uint8)
