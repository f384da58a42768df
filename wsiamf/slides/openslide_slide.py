"""Slides through the OpenSlide library."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import openslide
from numpy.typing import NDArray

from wsiamf.errors import SlideReadError, UnsupportedSlideError
from wsiamf.slides.base import DescribedSlide, SlideDescription, grid_of
from wsiamf.slides.interface import TileGrid, Tiles
from wsiamf.slides.raw_tiles import open_raw_tiles
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.tiff_tiles import TiffTiles

_log = logging.getLogger(__name__)

_BAND_PX: Final = 1 << 26
"""Most pixels asked of the library at once: 256 MiB as RGBA. (It refuses more than 2**29.)"""

_FAILURES: Final = (openslide.OpenSlideError, ctypes.ArgumentError, OSError, ValueError)


def openslide_vendor(path: Path) -> str | None:
    """OpenSlide's vendor word for a file, None where it does not know the format."""
    try:
        vendor: str | None = openslide.OpenSlide.detect_format(path)
    except _FAILURES as error:
        _log.debug("%s: OpenSlide cannot tell the format: %s", path, error)
        return None
    return vendor


class OpenSlideSlide(DescribedSlide):
    """A slide that OpenSlide reads.

    Args:
        path: The file, or the folder of a DICOM series.
        given: The caller's resolution, which overrides the file's.
        file: The file in that folder that the library is given, from which it finds the others; left out, ``path``.

    Raises:
        UnsupportedSlideError: OpenSlide refuses the file; names its reason.
    """

    def __init__(self, path: Path, given: Resolution | None = None, *, file: Path | None = None) -> None:
        self._file = file or path
        self._handle: openslide.OpenSlide | None = _open(self._file)
        self._raw: dict[int, TiffTiles | None] = {}
        try:
            description = _describe(self._handle)
        except _FAILURES as error:
            self._drop_handle()
            raise UnsupportedSlideError(f"{path}: its header is damaged: {error}; copy it again.") from error
        super().__init__(path, description, given)

    @property
    def backend(self) -> str:
        return "openslide"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        region = np.empty((height, width, 3), dtype=np.uint8)
        band = max(1, _BAND_PX // width)
        for top in range(0, height, band):
            rows = min(band, height - top)
            location = (x, y + round(top * self.level_downsamples[level]))
            region[top : top + rows] = lay_over(self._read_rgba(location, level, (width, rows)), self.background)
        return region

    def _read_rgba(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        try:
            if self._handle is None:
                self._handle = openslide.OpenSlide(self._file)
            return np.asarray(self._handle.read_region(location, level, size), dtype=np.uint8)
        except _FAILURES as error:
            # A handle refuses everything after its first error, so the next reading needs a new one.
            self._drop_handle()
            raise SlideReadError(
                f"{self.name}: {size[0]} x {size[1]} px at {location} of level {level} cannot be decoded: {error}."
            ) from error

    def _tiles(self, level: int) -> Tiles | None:
        if level not in self._raw:
            self._raw[level] = open_raw_tiles(self, level)
        return self._raw[level]

    def duplicate(self) -> OpenSlideSlide:
        return OpenSlideSlide(self._local_path, self._given, file=self._file)

    def _release(self) -> None:
        for tiles in self._raw.values():
            if tiles is not None:
                tiles.close()
        self._drop_handle()

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _open(path: Path) -> openslide.OpenSlide:
    try:
        return openslide.OpenSlide(path)
    except _FAILURES as error:
        raise UnsupportedSlideError(
            f"{path}: OpenSlide cannot open it: {error}. "
            "Copy it again if it may be incomplete, else convert it to a format that OpenSlide reads."
        ) from error


def _properties(handle: openslide.OpenSlide) -> dict[str, str]:
    found = {}
    for key in handle.properties:
        with suppress(KeyError):  # of a damaged file: a name that the library lists and does not find
            found[key] = str(handle.properties[key])
    return found


def _describe(handle: openslide.OpenSlide) -> SlideDescription:
    properties = _properties(handle)
    dimensions = tuple((int(width), int(height)) for width, height in handle.level_dimensions)
    return SlideDescription(
        vendor=properties.get("openslide.vendor", "unknown"),
        level_dimensions=dimensions,
        level_downsamples=tuple(float(value) for value in handle.level_downsamples),
        tile_grids=tuple(_tile_grid(properties, level, size) for level, size in enumerate(dimensions)),
        properties=properties,
    )


def _tile_grid(properties: Mapping[str, str], level: int, dimensions: tuple[int, int]) -> TileGrid | None:
    try:
        width, height = (int(properties[f"openslide.level[{level}].tile-{side}"]) for side in ("width", "height"))
    except (KeyError, ValueError):
        return None
    return grid_of(dimensions, (width, height)) if width > 0 and height > 0 else None


def lay_over(rgba: NDArray[np.uint8], background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Lay RGBA pixels, (height, width, 4), over a colour.

    Not premultiplied: the library's pixels are, but openslide-python divides the alpha out.
    """
    rgb, alpha = rgba[..., :3], rgba[..., 3]
    if (alpha == 255).all():
        return rgb
    colour = np.array(background, dtype=np.uint8)
    laid = np.where((alpha == 0)[..., None], colour, rgb)
    mixed = (alpha > 0) & (alpha < 255)
    share = alpha[mixed].astype(np.uint32)[:, None]
    laid[mixed] = (rgb[mixed] * share + colour * (255 - share) + 127) // 255
    return laid
