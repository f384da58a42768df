"""Vendors' TIFF slides at an address, through tiffslide: it tells the vendor, the levels and the properties.

The pixels come from the pages' own tiles, one ranged request each and from many threads; tiffslide reads them in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import tifffile
import tiffslide

from wsiamf.addresses import Address
from wsiamf.errors import UnsupportedSlideError
from wsiamf.slides.byte_ranges import RemoteRanges
from wsiamf.slides.raw_tiles import is_openslides
from wsiamf.slides.tiff_layout import READ_FAILURES, refuse_incomplete, vendor_of
from wsiamf.slides.tifffile_slide import TiffContent, TifffileSlide

_VENDORS: Final = {"svs": "aperio", "ndpi": "hamamatsu"}
"""Whose levels are one page each, without gaps and overlaps; the others' need OpenSlide's knowledge of their layout."""

_CHECKED: Final = "aperio"  # its files obey TIFF's own words on where tiles lie; NDPI bends them beyond 4 GiB
_TIFFSLIDES: Final = "tiffslide."
_OPENSLIDES: Final = "openslide."
_SERIES: Final = "tiffslide.series-index"


class TiffslideSlide(TifffileSlide):
    """A vendor's slide at an address.

    Args:
        path: The address.
        given: The caller's resolution, which overrides the file's.
        remote: The file there.

    Raises:
        UnsupportedSlideError: The file is incomplete or damaged, or only OpenSlide can read it.
        SlideReadError: It cannot be reached.
    """

    @property
    def backend(self) -> str:
        return "tiffslide"

    def _content(self, path: Address, tiff: tifffile.TiffFile) -> TiffContent:
        vendor = next((word for flag, word in _VENDORS.items() if getattr(tiff, f"is_{flag}")), None)
        if vendor is None:
            raise UnsupportedSlideError(
                f"{path}: a vendor's slide ({vendor_of(path, tiff)}) that is not read from an address; copy it to a "
                "local disk first."
            )
        if vendor == _CHECKED:
            refuse_incomplete(path, tiff)
        assert self._remote is not None, "local slides of vendors are OpenSlide's"
        found, n_levels = _read_header(path, self._remote)
        pages = _tiled_pages(tiff) if vendor == "aperio" else _series_pages(tiff, found[_SERIES], n_levels)
        for page in pages:
            _refuse_undecodable(path, page)
        return TiffContent(vendor, [[page] for page in pages], _properties(found, vendor))


def _tiled_pages(tiff: tifffile.TiffFile) -> list[Any]:
    """OpenSlide's rule for Aperio: every tiled page is a level. (tifffile takes the second page for a thumbnail always.)"""
    pages: list[Any] = list(tiff.pages)
    return sorted((page for page in pages if page.is_tiled), key=lambda page: -page.imagewidth)


def _series_pages(tiff: tifffile.TiffFile, series: int, n_levels: int) -> list[Any]:
    """Level 0 and those of the others that are in tiles: some scanners write coarse levels whole."""
    levels: Any = tiff.series[series].levels
    pages = [level.keyframe for level in levels[:n_levels]]
    return [page for page in pages if page is pages[0] or page.is_tiled]


def _read_header(path: Address, remote: RemoteRanges) -> tuple[dict[str, Any], int]:
    """tiffslide's properties and number of levels; what it reads is kept already."""
    with (
        _failures(path),
        tiffslide.TiffSlide(remote.stream(), tifffile_options={"name": path.name}) as slide,  # type: ignore[arg-type]
    ):
        return dict(slide.properties), int(slide.level_count)


@contextmanager
def _failures(path: Address) -> Iterator[None]:
    """Whatever tiffslide stumbles over as one error; its warnings say that it knows a format in part."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (*READ_FAILURES, AttributeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnsupportedSlideError(
            f"{path}: tiffslide cannot open it ({reason}); copy it to a local disk, where OpenSlide may read it."
        ) from error


def _refuse_undecodable(path: Address, page: Any) -> None:
    if not page.is_tiled:
        raise UnsupportedSlideError(
            f"{path}: level 0 is not in tiles, so that every crop would need all of it; copy it to a local disk first."
        )
    if not is_openslides(page):
        raise UnsupportedSlideError(
            f"{path}: holds tiles of a kind that only OpenSlide reads (compression {int(page.compression)}, photometric "
            f"{int(page.photometric)}); copy it to a local disk first."
        )


def _properties(found: Mapping[str, Any], vendor: str) -> dict[str, str]:
    """tiffslide's properties under OpenSlide's keys, as OpenSlide would write them; the levels' are made elsewhere."""
    properties = {
        key.replace(_TIFFSLIDES, _OPENSLIDES, 1): _text(value)
        for key, value in found.items()
        if value not in (None, "") and not key.startswith((f"{_TIFFSLIDES}series-", f"{_TIFFSLIDES}level[", "aperio."))
    }
    if vendor == "aperio":
        properties |= _aperio_properties(properties.get("tiff.ImageDescription", ""))
    if "tiff.ResolutionUnit" in properties:
        properties["tiff.ResolutionUnit"] = properties["tiff.ResolutionUnit"].lower()
    return properties | {"openslide.vendor": vendor}


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else f"{float(value):.17g}"


def _aperio_properties(description: str) -> dict[str, str]:
    """The fields of an Aperio description as they are written: tiffslide makes numbers of them."""
    fields = (field.partition("=") for field in description.split("|")[1:])
    return {f"aperio.{key.strip()}": value.strip() for key, separator, value in fields if separator}
