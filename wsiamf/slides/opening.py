"""Which library reads a slide: OpenSlide wherever it knows the format, tifffile for plain TIFFs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from wsiamf.addresses import Url, parse_address
from wsiamf.errors import SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.slides.interface import Slide
from wsiamf.slides.openslide_slide import OpenSlideSlide, openslide_vendor
from wsiamf.slides.parts import dicom_series, slide_fingerprint
from wsiamf.slides.resolution import Resolution, given_resolution
from wsiamf.slides.tiff_layout import open_tiff, refuse_incomplete, refuse_stack
from wsiamf.slides.tifffile_slide import TifffileSlide

_GENERIC: Final = "generic-tiff"
_CHECKED_TIFF: Final = frozenset({_GENERIC, "aperio"})
"""Vendors whose files obey TIFF's own words on where tiles lie; others bend them (NDPI beyond 4 GiB)."""


def open_slide(path: str | Path | Url, *, mpp: float | None = None) -> Slide:
    """Open a whole-slide image or a plain TIFF region.

    Args:
        path: The file; for MRXS the ``.mrxs``, for DICOM any file of the series. Text such as ``s3://bucket/slide.svs`` is the
            address of a TIFF slide in an object store or on a web server.
        mpp: um per level-0 px, which overrides what the file states; needed where it states none that can be used.

    Returns:
        The open slide; close it, or use it as a context manager. A slide without a usable resolution opens too, and
        raises when ``mpp`` is asked for.

    Raises:
        SlideNotFoundError: There is no such file.
        UnsupportedSlideError: No library can read it, or it is damaged or incomplete.
        SlideReadError: An address cannot be reached or may not be read.
        MppError: ``mpp`` is not between 0.05 and 20.

    Example:
        >>> with open_slide("slide.svs") as slide:  # doctest: +SKIP
        ...     crop = slide.read_region((5000, 4000), 0, (128, 128))
    """
    path = parse_address(path)
    given = None if mpp is None else given_resolution(mpp)
    if isinstance(path, Url):
        slide: Slide = _remote().open_remote(path, given)
        return slide
    _check_is_file(path)
    vendor = openslide_vendor(path)
    if vendor is None:
        return TifffileSlide(path, given)
    if vendor in _CHECKED_TIFF:
        _check_tiff(path, vendor)
    return _open_known(path, vendor, given)


def read_fingerprint(path: str | Path | Url) -> str:
    """``Slide.fingerprint`` without opening the slide: its format is found, but nothing of its layout is read or checked.

    Raises:
        SlideNotFoundError: There is no such file.
        UnsupportedSlideError: It is a folder, or cannot be read.
        SlideReadError: A file that belongs to it cannot be read.
    """
    path = parse_address(path)
    if isinstance(path, Url):
        return str(_remote().remote_fingerprint(path))
    _check_is_file(path)
    vendor = openslide_vendor(path) or _GENERIC
    try:
        series = dicom_series(path) if vendor == "dicom" else None
        return slide_fingerprint(path, vendor, {"dicom.SeriesInstanceUID": series or ""})
    except OSError as error:
        raise SlideReadError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _remote() -> ModuleType:
    """What opens addresses; it loads fsspec, which local slides need not wait for."""
    return import_module("wsiamf.slides.remote")


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise UnsupportedSlideError(
            f"{path}: a folder, not a slide; name the .mrxs file beside it, or one of the .dcm files in it."
        )
    try:
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SlideNotFoundError(f"{path}: no such slide file.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnsupportedSlideError(f"{path}: cannot be read: {reason}.") from error


def _check_tiff(path: Path, vendor: str) -> None:
    """Refuse what OpenSlide would open all the same: a file that ends too early, and the first plane of a stack."""
    with open_tiff(path) as tiff:
        refuse_incomplete(path, tiff)
        if vendor == _GENERIC:
            refuse_stack(path, tiff)


def _open_known(path: Path, vendor: str, given: Resolution | None) -> Slide:
    try:
        return OpenSlideSlide(path, given)
    except UnsupportedSlideError:
        if vendor != _GENERIC:
            raise
        # No vendor's: a tiled TIFF whose compression OpenSlide lacks (WebP, JPEG 2000), which tifffile may have.
        return TifffileSlide(path, given)
