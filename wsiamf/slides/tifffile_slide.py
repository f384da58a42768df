"""Plain TIFF regions, such as MIDOG's, through tifffile: strips or tiles, decoded one by one as they are needed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

from wsiamf.addresses import Address
from wsiamf.slides.base import SlideDescription, grid_of
from wsiamf.slides.byte_ranges import RemoteRanges
from wsiamf.slides.interface import TileGrid
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.tiff_layout import (
    open_tiff,
    pyramid,
    refuse_incomplete,
    refuse_stack,
    refuse_undecodable,
    refuse_vendor,
)
from wsiamf.slides.tiff_levels import PagesSlide

_UNITS: Final = {1: "none", 2: "inch", 3: "centimeter"}
_DEFAULT_UNIT: Final = 2


class TifffileSlide(PagesSlide):
    """A plain TIFF that OpenSlide does not know.

    Args:
        path: The file.
        given: The caller's resolution, which overrides the file's.
        remote: The file where it is not on a local disk.

    Raises:
        UnsupportedSlideError: It is a vendor's file, incomplete, a stack, or not decodable.
    """

    def __init__(self, path: Address, given: Resolution | None = None, remote: RemoteRanges | None = None) -> None:
        with ExitStack() as stack:
            tiff = stack.enter_context(open_tiff(path, remote))
            refuse_vendor(path, tiff)
            refuse_incomplete(path, tiff)
            refuse_stack(path, tiff)
            pages = pyramid(path, tiff)
            refuse_undecodable(path, pages)
            super().__init__(path, _describe(pages), given, pages=pages, file=stack.pop_all(), remote=remote)

    @property
    def backend(self) -> str:
        return "tifffile"

    def duplicate(self) -> TifffileSlide:
        return TifffileSlide(self._path, self._given, self._remote)


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
