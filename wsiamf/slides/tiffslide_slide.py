"""Vendors' TIFF slides at an address, through tiffslide: it tells the vendor, the levels and the properties.

The pixels come from the pages' own tiles, one ranged request each and from many threads; tiffslide reads them in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import tifffile
import tiffslide

from wsiamf.errors import UnsupportedSlideError
from wsiamf.slides.base import SlideDescription, grid_of
from wsiamf.slides.byte_ranges import RemoteRanges
from wsiamf.slides.interface import TileGrid
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.tiff_layout import READ_FAILURES, refuse_incomplete
from wsiamf.slides.tiff_levels import PagesSlide

_VENDORS: Final = frozenset({"aperio", "hamamatsu"})
"""Whose levels are one page each, without gaps and overlaps; the others' need OpenSlide's knowledge of their layout."""

_CHECKED: Final = "aperio"  # its files obey TIFF's own words on where tiles lie; NDPI bends them beyond 4 GiB
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
_OWN_WORDS: Final = "tiffslide."
_OPENSLIDES_WORDS: Final = "openslide."


class TiffslideSlide(PagesSlide):
    """A vendor's slide at an address.

    Args:
        remote: The file.
        given: The caller's resolution, which overrides the file's.

    Raises:
        UnsupportedSlideError: The file is incomplete or damaged, or only OpenSlide can read it.
        SlideReadError: It cannot be reached.
    """

    def __init__(self, remote: RemoteRanges, given: Resolution | None = None) -> None:
        url = remote.url
        with ExitStack() as stack, _failures(remote):
            slide = stack.enter_context(
                tiffslide.TiffSlide(remote.stream(), tifffile_options={"name": url.name, "_useframes": False})
            )
            tiff, vendor = slide.ts_tifffile, _vendor(slide)
            if vendor not in _VENDORS:
                raise UnsupportedSlideError(
                    f"{url}: a slide of {vendor}, which only OpenSlide reads in full; copy it to a local disk first."
                )
            if vendor == _CHECKED:
                refuse_incomplete(url, tiff)
            pages = _pages(slide)
            _refuse_undecodable(remote, pages)
            description = _describe(slide, vendor, pages)
            super().__init__(url, description, given, pages=pages, file=stack.pop_all(), remote=remote)
        self._file_at_address = remote

    @property
    def backend(self) -> str:
        return "tiffslide"

    def duplicate(self) -> TiffslideSlide:
        return TiffslideSlide(self._file_at_address, self._given)


@contextmanager
def _failures(remote: RemoteRanges) -> Iterator[None]:
    """Whatever tiffslide stumbles over as one error; its warnings are of formats that it knows in part."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (*READ_FAILURES, AttributeError, AssertionError, NotImplementedError) as error:
        raise UnsupportedSlideError(
            f"{remote.url}: tiffslide cannot open it ({' '.join(str(error).split()) or type(error).__name__}); copy it to a "
            "local disk, where OpenSlide may read it."
        ) from error


def _vendor(slide: tiffslide.TiffSlide) -> str:
    flags = {"svs": "aperio", "ndpi": "hamamatsu", "scn": "leica", "bif": "ventana", "philips": "philips"}
    return next(
        (vendor for flag, vendor in flags.items() if getattr(slide.ts_tifffile, f"is_{flag}")), "another vendor"
    )


def _pages(slide: tiffslide.TiffSlide) -> list[Any]:
    """The page of each level, finest first."""
    series: Any = slide.ts_tifffile.series[slide.properties["tiffslide.series-index"]]
    return [level.keyframe for level in series.levels[: slide.level_count]]


def _refuse_undecodable(remote: RemoteRanges, pages: list[Any]) -> None:
    for page in pages:
        eight_bit = page.dtype == "uint8" and page.samplesperpixel == 3 and page.imagedepth == 1
        plain = page.planarconfig == tifffile.PLANARCONFIG.CONTIG and not page.extrasamples
        known = page.compression in _COMPRESSIONS and page.photometric in _COLOURS
        if not (page.is_tiled and eight_bit and plain and known):
            raise UnsupportedSlideError(
                f"{remote.url}: holds tiles of a kind that only OpenSlide reads (compression {int(page.compression)}, "
                f"photometric {int(page.photometric)}); copy it to a local disk first."
            )


def _describe(slide: tiffslide.TiffSlide, vendor: str, pages: list[Any]) -> SlideDescription:
    return SlideDescription(
        vendor=vendor,
        level_dimensions=tuple((int(width), int(height)) for width, height in slide.level_dimensions),
        level_downsamples=tuple(float(value) for value in slide.level_downsamples),
        tile_grids=tuple(_tile_grid(page) for page in pages),
        properties=_properties(slide.properties, vendor, len(pages)),
    )


def _tile_grid(page: Any) -> TileGrid:
    return grid_of((page.imagewidth, page.imagelength), (page.tilewidth, page.tilelength))


def _properties(found: Mapping[str, Any], vendor: str, n_levels: int) -> dict[str, str]:
    """tiffslide's properties under OpenSlide's keys, as OpenSlide would write them."""
    properties = {
        key.replace(_OWN_WORDS, _OPENSLIDES_WORDS, 1): _text(value)
        for key, value in found.items()
        if value is not None and not key.startswith((f"{_OWN_WORDS}series-", "aperio."))
    }
    if vendor == "aperio":
        properties |= _aperio_properties(properties.get("tiff.ImageDescription", ""))
    if "tiff.ResolutionUnit" in properties:
        properties["tiff.ResolutionUnit"] = properties["tiff.ResolutionUnit"].lower()
    return properties | {"openslide.vendor": vendor, "openslide.level-count": str(n_levels)}


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else f"{float(value):.17g}"


def _aperio_properties(description: str) -> dict[str, str]:
    """The fields of an Aperio description as they are written: tiffslide makes numbers of them."""
    fields = (field.partition("=") for field in description.split("|")[1:])
    return {f"aperio.{key.strip()}": value.strip() for key, separator, value in fields if separator}
