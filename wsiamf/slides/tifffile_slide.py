"""Plain TIFF regions, such as MIDOG's, through tifffile: strips or tiles, decoded one by one as they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsiamf.addresses import Address
from wsiamf.errors import SlideReadError
from wsiamf.slides.base import (
    DescribedSlide,
    SlideDescription,
    grid_of,
    level_properties,
    mean_downsample,
    on_background,
)
from wsiamf.slides.byte_ranges import RemoteRanges
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
from wsiamf.slides.tiff_tiles import JoinedTiles, RawRows, TiffTiles, as_rgb
from wsiamf.slides.tile_cache import CachedTiles

_VENDOR: Final = "generic-tiff"
_UNITS: Final = {1: "none", 2: "inch", 3: "centimeter"}
_DEFAULT_UNIT: Final = 2


@dataclass(frozen=True)
class TiffContent:
    """What a TIFF shows as a slide.

    Args:
        vendor: The vendor word.
        levels: The pages of each level, finest first: one, or one for each of red, green and blue.
        properties: Further ones, under the keys of ``Slide.properties``.
    """

    vendor: str
    levels: Sequence[Sequence[Any]]
    properties: Mapping[str, str] = field(default_factory=dict)


class TifffileSlide(DescribedSlide):
    """A plain TIFF that OpenSlide does not know.

    Args:
        path: The file.
        given: The caller's resolution, which overrides the file's.
        remote: The file where it is not on a local disk.

    Raises:
        UnsupportedSlideError: It is a vendor's file, incomplete, a stack, or not decodable.
    """

    def __init__(self, path: Address, given: Resolution | None = None, remote: RemoteRanges | None = None) -> None:
        self._remote = remote
        with ExitStack() as stack:
            tiff = stack.enter_context(open_tiff(path, remote))
            content = self._content(path, tiff)
            super().__init__(path, _describe(content), given)
            self._levels = [
                stack.enter_context(closing(_level(pages, self.background, remote))) for pages in content.levels
            ]
            self._file = stack.pop_all()

    def _content(self, path: Address, tiff: tifffile.TiffFile) -> TiffContent:
        """What the file shows; raises where it cannot be shown."""
        refuse_vendor(path, tiff)
        refuse_incomplete(path, tiff)
        refuse_stack(path, tiff)
        pages = pyramid(path, tiff)
        refuse_undecodable(path, pages)
        return TiffContent(_VENDOR, [[page] for page in pages], tag_properties(pages[0]))

    @property
    def backend(self) -> str:
        return "tifffile"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        try:
            return self._levels[level].read(*self._level_corner(x, y, level), width, height)
        except READ_FAILURES as error:
            reason = " ".join(str(error).split())
            raise SlideReadError(
                f"{self.name}: {width} x {height} px at {(x, y)} of level {level} cannot be decoded: {reason}."
            ) from error

    def _tiles(self, level: int) -> Tiles | None:
        return self._levels[level].segments

    def duplicate(self) -> Self:
        return type(self)(self._path, self._given, self._remote)

    def _content_fingerprint(self) -> str:
        return super()._content_fingerprint() if self._remote is None else self._remote.fingerprint()

    def _release(self) -> None:
        self._levels = []
        self._file.close()


class _Level:
    """The strips or tiles of a level, decoded as they are needed, or its pixels where they stand in the file.

    Args:
        tiles: All of the level.
        page: A page of it.
        background: RGB of what no tile shows.
        mapped: The page's pixels in the file, where they stand there as they are.
    """

    def __init__(
        self,
        tiles: TiffTiles | JoinedTiles | RawRows,
        page: Any,
        background: tuple[int, int, int],
        mapped: NDArray[np.uint8] | None = None,
    ) -> None:
        self._page = page
        self._background = background
        self._mapped = mapped
        self._segments = tiles
        self._cached = CachedTiles(tiles, (page.imagewidth, page.imagelength), background)

    @property
    def segments(self) -> Tiles | None:
        """Tiles or strips for threads; None where the pixels stand in the file as they are."""
        return self._segments if self._mapped is None else None

    def close(self) -> None:
        """Release the file."""
        self._segments.close()

    def read(self, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
        """A box in px of this level, (height, width, 3); what lies outside the picture is background."""
        if self._mapped is None:
            return self._cached.read(left, top, width, height)
        dimensions = (self._page.imagewidth, self._page.imagelength)
        box, view, part = on_background((left, top), (width, height), dimensions, self._background)
        if view.size:
            pixels = self._mapped[part.y : part.y + part.height, part.x : part.x + part.width]
            view[...] = as_rgb(self._page, pixels, self._background)
        return box


def _level(pages: Sequence[Any], background: tuple[int, int, int], remote: RemoteRanges | None) -> _Level:
    if len(pages) == 1:
        return _level_of_page(pages[0], background, remote)
    with ExitStack() as stack:
        colours = [stack.enter_context(closing(TiffTiles(page, background, remote))) for page in pages]
        level = _Level(JoinedTiles(colours), pages[0], background)
        stack.pop_all()
    return level


def _level_of_page(page: Any, background: tuple[int, int, int], remote: RemoteRanges | None) -> _Level:
    if not _stands_as_it_is(page):
        return _Level(TiffTiles(page, background, remote), page, background)
    if remote is not None:
        return _Level(RawRows(page, background, remote), page, background)
    return _Level(TiffTiles(page, background), page, background, _memory_map(page))


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


def _describe(content: TiffContent) -> SlideDescription:
    pages = [level[0] for level in content.levels]
    dimensions = tuple((int(page.imagewidth), int(page.imagelength)) for page in pages)
    downsamples = tuple(mean_downsample(dimensions[0], size) for size in dimensions)
    grids = tuple(_tile_grid(page) for page in pages)
    return SlideDescription(
        vendor=content.vendor,
        level_dimensions=dimensions,
        level_downsamples=downsamples,
        tile_grids=grids,
        properties=level_properties(content.vendor, dimensions, downsamples, grids) | dict(content.properties),
    )


def _tile_grid(page: Any) -> TileGrid | None:
    if not page.is_tiled:
        return None
    return grid_of((page.imagewidth, page.imagelength), (page.tilewidth, page.tilelength))


def tag_properties(page: Any) -> dict[str, str]:
    """A page's metadata under the keys that OpenSlide uses."""
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
