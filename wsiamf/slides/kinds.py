"""What kind of slide a path is, by its content and not by its name."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path
from typing import Final

from wsiamf.errors import SlideNotFoundError, UnsupportedSlideError
from wsiamf.slides.base import system_reason
from wsiamf.slides.ome_tiff_slide import is_ome_tiff
from wsiamf.slides.openslide_slide import openslide_vendor
from wsiamf.slides.parts import dicom_slides, dicom_unread_syntax, is_dicom, is_zarr
from wsiamf.slides.picture_slide import picture_format
from wsiamf.slides.tiff_layout import VENDOR_SUFFIXES

GENERIC_TIFF: Final = "generic-tiff"
_MRXS: Final = ".mrxs"


class Kind(Enum):
    """Kinds of slides that are opened in ways of their own."""

    OME_ZARR = auto()
    DICOM = auto()
    PICTURE = auto()
    OME_TIFF = auto()
    TILED_TIFF = auto()
    """No vendor's, but OpenSlide knows it."""
    PLAIN_TIFF = auto()
    """No vendor's, and unknown to OpenSlide."""
    APERIO = auto()
    VENDOR = auto()


def slide_kind(path: Path) -> Kind:
    """The kind of a file or folder. Of a folder that is no OME-Zarr, whose opener looks into it, it is said to be ``DICOM``.

    Raises:
        SlideNotFoundError: There is no such file.
        UnsupportedSlideError: It cannot be read, or is of no known kind.
    """
    if path.is_dir():
        return Kind.OME_ZARR if is_zarr(path) else Kind.DICOM
    check_is_file(path)
    if is_dicom(path):
        return Kind.DICOM
    vendor = openslide_vendor(path)
    # a .mrxs is a JPEG too, so this comes before pictures
    if vendor not in (None, GENERIC_TIFF):
        return Kind.APERIO if vendor == "aperio" else Kind.VENDOR
    if vendor is None:
        _refuse_incomplete_vendors(path)
    if picture_format(path):
        return Kind.PICTURE
    if is_ome_tiff(path):
        return Kind.OME_TIFF
    return Kind.TILED_TIFF if vendor else Kind.PLAIN_TIFF


def series_of_folder(folder: Path) -> tuple[str, list[Path]]:
    """The one DICOM series of slide images in a folder, and its files.

    Raises:
        UnsupportedSlideError: The folder holds none, or several, which are listed.
    """
    try:
        found = dicom_slides(folder)
        others = sorted(file for file in folder.iterdir() if file.is_file() and is_dicom(file)) if not found else []
        unread = next((file for file in others if dicom_unread_syntax(file) is not None), None)
        reason = None if unread is None else no_dicom_slide(unread)
    except OSError as error:
        raise UnsupportedSlideError(f"{folder}: cannot be read: {system_reason(folder, error)}.") from error
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        listed = "; ".join(f"{files[0].name} ({len(files)} files, series {series})" for series, files in found.items())
        raise UnsupportedSlideError(
            f"{folder}: holds {len(found)} DICOM series of slides; name one file of the one you mean: {listed}."
        )
    if reason is not None:  # of a file that may well be the slide
        raise UnsupportedSlideError(reason)
    if others:
        raise UnsupportedSlideError(
            f"{folder}: holds {len(others)} DICOM files, none of them a whole-slide image (VL Whole Slide Microscopy)."
        )
    raise UnsupportedSlideError(
        f"{folder}: a folder, not a slide; name the .mrxs file beside it, an OME-Zarr folder, or a folder that holds one "
        "DICOM series."
    )


def no_dicom_slide(path: Path) -> str:
    """Why a DICOM file is taken for no slide.

    Raises:
        OSError: It cannot be read.
    """
    if (syntax := dicom_unread_syntax(path)) is not None:
        return (
            f"{path}: a DICOM file in {syntax}, a transfer syntax whose header is not read; write it in Explicit VR Little "
            "Endian (`dcmconv +te`)."
        )
    return f"{path}: a DICOM file, but no whole-slide image (VL Whole Slide Microscopy); name one of those."


def check_is_file(path: Path) -> None:
    """Raise unless a file can be read.

    Raises:
        SlideNotFoundError: There is no such file.
        UnsupportedSlideError: It cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise UnsupportedSlideError(f"{path}: is not a plain file; name the slide itself.")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SlideNotFoundError(f"{path}: no such slide file.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnsupportedSlideError(f"{path}: cannot be read: {reason}.") from error


def _refuse_incomplete_vendors(path: Path) -> None:
    """Refuse what OpenSlide does not know and is a vendor's by its name: a .mrxs by itself is a picture, its thumbnail.

    Raises:
        UnsupportedSlideError: It is an MRXS without its folder, or a picture with a vendor's suffix.
    """
    suffix = path.suffix.lower()
    if suffix == _MRXS and not (folder := path.with_suffix("")).is_dir():
        raise UnsupportedSlideError(f"{path}: its folder {folder.name} is missing; copy it to beside the file.")
    if suffix in VENDOR_SUFFIXES and (kind := picture_format(path)):
        raise UnsupportedSlideError(
            f"{path}: a {kind} picture with a scanner vendor's suffix, which OpenSlide does not recognise, so the slide is "
            "incomplete or damaged; copy it again with all its files, or name the picture by what it is."
        )
