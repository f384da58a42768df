"""Slides at an address: which library reads one, and what has to be on a local disk instead."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from wsiamf.addresses import Url
from wsiamf.errors import SlideError, UnsupportedSlideError
from wsiamf.files import fingerprint_of_ends
from wsiamf.slides.byte_ranges import RemoteRanges
from wsiamf.slides.dicom_head import starts_dicom
from wsiamf.slides.interface import Slide
from wsiamf.slides.ome_tiff_slide import OmeTiffSlide
from wsiamf.slides.remote_file import EXTRA, RemoteFile, ends, file_system, refuse_protocol, tried
from wsiamf.slides.remote_zarr import SUFFIX as ZARR_SUFFIX
from wsiamf.slides.remote_zarr import open_remote_zarr, remote_zarr_fingerprint
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.tiff_layout import open_tiff, vendor_of
from wsiamf.slides.tifffile_slide import TifffileSlide

_LOCAL_ONLY: Final = {
    ".mrxs": "an MRXS slide, which is a file and a folder",
    ".dcm": "a DICOM slide, which is a folder of files",
    ".vms": "a VMS slide, which is a folder of files",
    ".vmu": "a VMU slide, which is a folder of files",
    ".czi": "a CZI slide, which only OpenSlide reads",
    ".svslide": "a Sakura slide, which only OpenSlide reads",
    ".bif": "a Ventana slide, which only OpenSlide reads in full",
    ".scn": "a Leica slide, which only OpenSlide reads in full",
}
_COPY: Final = "copy it to a local disk first"
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_START_BYTES: Final = 4


def open_remote(url: Url, given: Resolution | None) -> Slide:
    """Open the slide at an address.

    Args:
        url: Its address.
        given: The caller's resolution, which overrides the file's.

    Raises:
        SlideNotFoundError: There is none.
        UnsupportedSlideError: It is of a kind that is read from a local disk only, or damaged, or a package is missing.
        SlideReadError: It cannot be reached or may not be read.
    """
    refuse_unreadable(url)
    if url.suffix.lower() == ZARR_SUFFIX:
        return open_remote_zarr(url, given)
    remote = RemoteFile(url)
    try:
        slide = _open_tiff(remote, given)
    except UnsupportedSlideError:
        remote.raise_lost()
        raise
    try:
        remote.raise_lost()
    except SlideError:
        slide.close()
        raise
    return slide


def _open_tiff(remote: RemoteRanges, given: Resolution | None) -> Slide:
    url = remote.url
    _refuse_no_tiff(remote)
    with open_tiff(url, remote) as tiff:
        vendor, is_ome = vendor_of(url, tiff), bool(tiff.is_ome)
    if vendor is not None:
        return _open_vendors(remote, given)
    return (OmeTiffSlide if is_ome else TifffileSlide)(url, given, remote)


def remote_fingerprint(url: Url) -> str:
    """``Slide.fingerprint`` of the slide at an address, without opening it; errors as of ``open_remote``."""
    refuse_unreadable(url)
    if url.suffix.lower() == ZARR_SUFFIX:
        return remote_zarr_fingerprint(url)
    fs, path = file_system(url)
    return fingerprint_of_ends([tried(url, "read", lambda: ends(url, fs, path))])


def _open_vendors(remote: RemoteRanges, given: Resolution | None) -> Slide:
    try:
        module = import_module("wsiamf.slides.tiffslide_slide")
    except ImportError as error:
        raise UnsupportedSlideError(f"{remote.url}: a package is missing ({error.name}); run {EXTRA}.") from error
    slide: Slide = module.TiffslideSlide(remote.url, given, remote)
    return slide


def refuse_unreadable(url: Url) -> None:
    """``slides.refuse_unreadable_address``."""
    if (kind := _LOCAL_ONLY.get(url.suffix.lower())) is not None:
        raise UnsupportedSlideError(f"{url}: {kind}; {_COPY}.")
    if not url.name:
        raise UnsupportedSlideError(f"{url}: names no file; give the slide's whole address.")
    refuse_protocol(url)


def _refuse_no_tiff(remote: RemoteRanges) -> None:
    if starts_dicom(remote.stream()):
        raise UnsupportedSlideError(f"{remote.url}: {_LOCAL_ONLY['.dcm']}; {_COPY}.")
    if not remote.stream().read(_TIFF_START_BYTES).startswith(_TIFF_STARTS):
        raise UnsupportedSlideError(
            f"{remote.url}: no TIFF, and of other kinds only OME-Zarr (a name that ends in .zarr) is read from an address; "
            f"check it, or {_COPY}."
        )
