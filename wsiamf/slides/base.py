"""What every backend's slide has in common: its description, read once at opening, and the checks before a reading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wsiamf.addresses import Address
from wsiamf.errors import SlideError, SlideReadError
from wsiamf.geometry import Bounds, nearest_pixel
from wsiamf.slides.interface import Slide, TileGrid, Tiles
from wsiamf.slides.parts import slide_fingerprint
from wsiamf.slides.resolution import Resolution, slide_resolution


@dataclass(frozen=True)
class SlideDescription:
    """What stands in a slide's header.

    Args:
        vendor: OpenSlide's vendor word.
        level_dimensions: (width, height) of each level in px of that level, finest first.
        level_downsamples: Level-0 px per px of each level.
        tile_grids: The tiles of each level, None where it has none.
        properties: Under OpenSlide's keys.
    """

    vendor: str
    level_dimensions: tuple[tuple[int, int], ...]
    level_downsamples: tuple[float, ...]
    tile_grids: tuple[TileGrid | None, ...]
    properties: Mapping[str, str]


class DescribedSlide(Slide):
    """A slide whose description outlives its file handle; a backend adds the reading of pixels.

    Args:
        path: The file.
        description: Its header.
        given: The caller's resolution, which overrides the file's.
    """

    def __init__(self, path: Address, description: SlideDescription, given: Resolution | None) -> None:
        self._path = path
        self._description = description
        self._properties = MappingProxyType(dict(description.properties))
        self._given = given
        self._resolution = given or slide_resolution(description.properties)
        self._fingerprint: str | None = None
        self._closed = False

    @property
    def path(self) -> Address:
        return self._path

    @property
    def vendor(self) -> str:
        return self._description.vendor

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        return self._description.level_dimensions

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        return self._description.level_downsamples

    @property
    def properties(self) -> Mapping[str, str]:
        return self._properties

    @property
    def mpp(self) -> float:
        return self._resolution.mpp(self.name)

    @property
    def mpp_source(self) -> str:
        return self._resolution.source

    @property
    def bounds(self) -> Bounds:
        return _bounds(self._description.properties, self.dimensions)

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            try:
                self._fingerprint = self._content_fingerprint()
            except SlideError:  # worded already, though some are an OSError too
                raise
            except OSError as error:
                reason = system_reason(self._path, error)
                raise SlideReadError(f"{self._path}: cannot be read again: {reason}.") from error
        return self._fingerprint

    def tile_grid(self, level: int) -> TileGrid | None:
        self._check_level(level)
        return self._description.tile_grids[level]

    def tiles(self, level: int) -> Tiles | None:
        self._check_level(level)
        return None if self._closed else self._tiles(level)

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        self._check_level(level)
        if self._closed:
            raise SlideReadError(f"{self._path}: the slide is closed.")
        if min(size) < 0:
            raise SlideReadError(f"{self._path}: a region cannot be {size[0]} x {size[1]} px.")
        x, y = (int(value) for value in location)
        width, height = (int(value) for value in size)
        if self._misses(x, y, level, width, height):
            return blank(width, height, self.background)
        return self._read_pixels(x, y, level, width, height)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._release()

    @abstractmethod
    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        """As ``read_region``, for a region that meets the slide; the slide is open and the level exists."""

    def _tiles(self, level: int) -> Tiles | None:  # noqa: ARG002 - for backends that have them
        """As ``tiles``; the slide is open and the level exists."""
        return None

    def _content_fingerprint(self) -> str:
        """As ``fingerprint``, read anew; a slide that is not on a local disk reads its own. An ``OSError`` is worded by it."""
        return slide_fingerprint(self._local_path, self.vendor, self._properties)

    @property
    def _local_path(self) -> Path:
        """``path`` of a slide on a local disk."""
        assert isinstance(self._path, Path), "only some backends read from an address"
        return self._path

    @abstractmethod
    def _release(self) -> None:
        """Close the file."""

    def _check_level(self, level: int) -> None:
        if not 0 <= level < self.level_count:
            raise SlideReadError(f"{self._path}: has no level {level}; the levels are 0 to {self.level_count - 1}.")

    def _level_corner(self, x: int, y: int, level: int) -> tuple[int, int]:
        """The pixel of a level that is nearest to a corner in level-0 px."""
        downsample = self.level_downsamples[level]
        return nearest_pixel(x / downsample), nearest_pixel(y / downsample)

    def _misses(self, x: int, y: int, level: int, width: int, height: int) -> bool:
        """Whether the region lies wholly off the slide: no library is asked then, so any distance is allowed."""
        downsample = self.level_downsamples[level]
        slide_width, slide_height = self.dimensions
        beyond = x >= slide_width or y >= slide_height
        before = x + width * downsample <= 0 or y + height * downsample <= 0
        return width == 0 or height == 0 or beyond or before


def _bounds(properties: Mapping[str, str], dimensions: tuple[int, int]) -> Bounds:
    whole = Bounds(0, 0, *dimensions)
    try:
        x, y, width, height = (int(properties[f"openslide.bounds-{key}"]) for key in ("x", "y", "width", "height"))
    except (KeyError, ValueError):
        return whole
    inside = 0 <= x < x + width <= dimensions[0] and 0 <= y < y + height <= dimensions[1]
    return Bounds(x, y, width, height) if inside else whole


def system_reason(path: Address, error: OSError) -> str:
    """Why the system does not read a slide; of a file beside it, which one."""
    other = error.filename if isinstance(error.filename, str) and error.filename != str(path) else None
    return f"{other}: {error.strerror}" if other else str(error.strerror or error)


def grid_of(dimensions: Sequence[int], tile: tuple[int, int]) -> TileGrid:
    """The grid of tiles of (width, height) px that covers an image of given (width, height)."""
    return TileGrid(tile[0], tile[1], -(-dimensions[0] // tile[0]), -(-dimensions[1] // tile[1]))


def level_properties(
    vendor: str,
    dimensions: Sequence[tuple[int, int]],
    downsamples: Sequence[float],
    grids: Sequence[TileGrid | None],
) -> dict[str, str]:
    """What OpenSlide would say of a slide's levels, under its keys."""
    properties = {"openslide.vendor": vendor, "openslide.level-count": str(len(dimensions))}
    for level, ((width, height), downsample, grid) in enumerate(zip(dimensions, downsamples, grids, strict=True)):
        properties[f"openslide.level[{level}].width"] = str(width)
        properties[f"openslide.level[{level}].height"] = str(height)
        properties[f"openslide.level[{level}].downsample"] = f"{downsample:.17g}"
        if grid is not None:
            properties[f"openslide.level[{level}].tile-width"] = str(grid.tile_width)
            properties[f"openslide.level[{level}].tile-height"] = str(grid.tile_height)
    return properties


def on_background(
    corner: tuple[int, int], size: tuple[int, int], dimensions: tuple[int, int], colour: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Bounds]:
    """A box of one colour, and what of it a picture covers.

    Args:
        corner: (x, y) of the box in px of the picture.
        size: (width, height) of the box in px.
        dimensions: (width, height) of the picture in px.
        colour: RGB.

    Returns:
        The box, (height, width, 3); the part of it to be filled with pixels, a view; and where these lie in the picture.
        Where the box lies beside the picture, that part is empty.
    """
    box = blank(*size, colour)
    left, top = (min(max(value, 0), side) for value, side in zip(corner, dimensions, strict=True))
    right, bottom = (
        min(max(value + length, 0), side) for value, length, side in zip(corner, size, dimensions, strict=True)
    )
    view = box[top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
    return box, view, Bounds(left, top, right - left, bottom - top)


def mean_downsample(finest: tuple[int, int], size: tuple[int, int]) -> float:
    """Level-0 px per px of a level, both (width, height), as OpenSlide has it: the mean of both axes."""
    return (finest[0] / size[0] + finest[1] / size[1]) / 2


def blank(width: int, height: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture (height, width, 3) of one colour."""
    if len(set(colour)) == 1:
        return np.full((height, width, 3), colour[0], dtype=np.uint8)  # a hundred times as fast as with a triple
    return np.full((height, width, 3), colour, dtype=np.uint8)
