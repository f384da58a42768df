"""The strips and tiles of one TIFF page, decoded one by one from any number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsiamf.errors import SlideReadError
from wsiamf.slides.base import grid_of
from wsiamf.slides.interface import TileGrid, Tiles
from wsiamf.slides.tiff_layout import READ_FAILURES

_HAS_PREAD: Final = hasattr(os, "pread")  # Windows has none
_LARGEST_READ: Final = 1 << 30
_DECODED_AS_RGB: Final = frozenset({tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR})


class TiffTiles(Tiles):
    """The segments (strips or tiles) of a page.

    Args:
        page: tifffile's page, whose file is open; only its layout is used, so that the file's position is never shared.
        background: RGB that transparent pixels are laid over.

    Raises:
        OSError: The file cannot be opened again.
    """

    def __init__(self, page: Any, background: tuple[int, int, int]) -> None:
        tiled = page.is_tiled
        width = page.tilewidth if tiled else page.imagewidth
        height = page.tilelength if tiled else min(page.rowsperstrip, page.imagelength)
        self._path = Path(page.parent.filehandle.path)
        self._grid = grid_of((page.imagewidth, page.imagelength), (width, height))
        self._page = page
        self._background = background
        self._is_rgb = page.samplesperpixel == 3 and page.photometric in _DECODED_AS_RGB
        self._planes = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
        # All of these may read from the file when first asked for: here, before there are threads.
        self._decoder, jpegtables = page.decode, page.jpegtables
        self._options = {} if jpegtables is None else {"jpegtables": jpegtables}
        self._offsets, self._counts = tuple(page.dataoffsets), tuple(page.databytecounts)
        self._lock = Lock()
        self._file = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

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
                f"{self._path.name}: tile {(column, row)} cannot be decoded: {' '.join(str(error).split())}."
            ) from error
        if samples is None or self._is_rgb:
            return samples
        return as_rgb(self._page, samples, self._background)

    def close(self) -> None:
        """Release the file; harmless when called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

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
        data = self._read(self._offsets[index], count)
        if len(data) < count:
            raise EOFError("the file ends within it")
        pixels, _, shape = self._decoder(data, index, **self._options)
        segment: NDArray[np.uint8] = np.asarray(pixels).reshape(shape)[0]
        return segment

    def _read(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        while count:  # one call gives no more than 2 GiB
            part = self._read_once(offset, min(count, _LARGEST_READ))
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_once(self, offset: int, count: int) -> bytes:
        if _HAS_PREAD:
            return os.pread(self._file, count, offset)
        with self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, count)


class JoinedTiles(Tiles):
    """Red, green and blue from three pages of grey that are cut alike.

    Args:
        colours: The tiles of each, which ``close`` closes.
    """

    def __init__(self, colours: Sequence[TiffTiles]) -> None:
        self._colours = colours

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
