"""Which library reads a slide: OpenSlide wherever it knows the format, others for what it does not know or show whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from wsiamf.addresses import Url, parse_address
from wsiamf.errors import SlideError, SlideReadError, UnsupportedSlideError
from wsiamf.slides.base import system_reason
from wsiamf.slides.interface import Slide
from wsiamf.slides.kinds import GENERIC_TIFF, Kind, check_is_file, no_dicom_slide, series_of_folder, slide_kind
from wsiamf.slides.ome_tiff_slide import OmeTiffSlide
from wsiamf.slides.openslide_slide import OpenSlideSlide, openslide_vendor
from wsiamf.slides.parts import (
    OME_ZARR,
    SERIES_KEY,
    dicom_series,
    is_zarr,
    slide_fingerprint,
    slide_parts,
)
from wsiamf.slides.picture_slide import PictureSlide
from wsiamf.slides.resolution import Resolution, given_resolution
from wsiamf.slides.tiff_layout import open_tiff, refuse_incomplete, refuse_stack
from wsiamf.slides.tifffile_slide import TifffileSlide
from wsiamf.slides.wsidicom_slide import WsiDicomSlide


def open_slide(path: str | Path | Url, *, mpp: float | None = None) -> Slide:
    """Open a whole-slide image, or a region saved as a picture.

    Args:
        path: The file; for MRXS the ``.mrxs``, for DICOM any file of the series or the folder that holds it alone, for
            OME-Zarr its folder. Text such as ``s3://bucket/slide.svs`` is an address: TIFF slides and OME-Zarr are read there.
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
    try:
        return _OPENERS[slide_kind(path)](path, given)
    except SlideError:
        raise
    except OSError as error:
        raise UnsupportedSlideError(f"{path}: cannot be read: {system_reason(path, error)}.") from error


def read_fingerprint(path: str | Path | Url) -> str:
    """``Slide.fingerprint`` without opening the slide: its format is found, but nothing of its layout is read or checked.

    Raises:
        SlideNotFoundError: There is no such file.
        UnsupportedSlideError: It is a folder that holds no slide, or cannot be read.
        SlideReadError: A file that belongs to it cannot be read.
    """
    path = parse_address(path)
    if isinstance(path, Url):
        return str(_remote().remote_fingerprint(path))
    try:
        if not path.is_dir():
            check_is_file(path)
            vendor = openslide_vendor(path) or GENERIC_TIFF
            series = dicom_series(path) or ""
            return slide_fingerprint(path, "dicom" if series else vendor, {SERIES_KEY: series})
        if is_zarr(path):
            return slide_fingerprint(path, OME_ZARR, {})
        return slide_fingerprint(path, "dicom", {SERIES_KEY: series_of_folder(path)[0]})
    except SlideError:
        raise
    except OSError as error:
        raise SlideReadError(f"{path}: cannot be read: {system_reason(path, error)}.") from error


def refuse_unreadable_address(url: Url) -> None:
    """Raise where nothing could be read from an address, whatever is there; asks no server.

    Raises:
        UnsupportedSlideError: Its protocol is not known or its package missing, it names no file, or a kind of slide that is
            read from a local disk only.
    """
    _remote().refuse_unreadable(url)


def _open_zarr(path: Path, given: Resolution | None) -> Slide:
    slide: Slide = import_module("wsiamf.slides.zarr_slide").ZarrSlide(path, given)  # zarr takes half a second to load
    return slide


def _remote() -> ModuleType:
    """What opens addresses; it loads fsspec, which local slides need not wait for."""
    return import_module("wsiamf.slides.remote")


def _open_aperio(path: Path, given: Resolution | None) -> Slide:
    with open_tiff(path) as tiff:  # other vendors bend TIFF's words on where tiles lie (NDPI beyond 4 GiB)
        refuse_incomplete(path, tiff)
    return OpenSlideSlide(path, given)


def _open_tiled_tiff(path: Path, given: Resolution | None) -> Slide:
    with open_tiff(path) as tiff:  # OpenSlide opens what ends too early all the same, and the first plane of a stack
        refuse_incomplete(path, tiff)
        refuse_stack(path, tiff)
    try:
        return OpenSlideSlide(path, given)
    except UnsupportedSlideError:
        # No vendor's: a tiled TIFF whose compression OpenSlide lacks (WebP, JPEG 2000), which tifffile may have.
        return TifffileSlide(path, given)


def _open_dicom(path: Path, given: Resolution | None) -> Slide:
    if path.is_dir():
        _, files = series_of_folder(path)
        return _open_series(path, files[0], lambda: files, given)
    if (series := dicom_series(path)) is None:
        raise UnsupportedSlideError(no_dicom_slide(path))
    return _open_series(path, path, lambda: slide_parts(path, "dicom", {SERIES_KEY: series}), given)


def _open_series(path: Path, file: Path, files: Callable[[], Sequence[Path]], given: Resolution | None) -> Slide:
    """OpenSlide where it takes the file, beside which it finds the others; else wsidicom, which is told all."""
    try:
        return OpenSlideSlide(path, given, file=file)
    except UnsupportedSlideError as error:
        return WsiDicomSlide(path, files(), " ".join(str(error.__cause__).split()), given)


_OPENERS: Final[Mapping[Kind, Callable[[Path, Resolution | None], Slide]]] = {
    Kind.OME_ZARR: _open_zarr,
    Kind.DICOM: _open_dicom,
    Kind.PICTURE: PictureSlide,
    Kind.OME_TIFF: OmeTiffSlide,
    Kind.TILED_TIFF: _open_tiled_tiff,
    Kind.PLAIN_TIFF: TifffileSlide,
    Kind.APERIO: _open_aperio,
    Kind.VENDOR: OpenSlideSlide,
}
