"""The files that make up one slide: one for most formats, a folder's worth for MRXS, DICOM and VMS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wsiamf.files import fingerprint, sha256_bytes

_DICOM_HEAD: Final = 1 << 18  # the series' id stands well before the pixels and the optical path's colour profile
_DICOM_PREAMBLE: Final = 128
_SLIDE_CLASS: Final = b"1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
_SERIES_ELEMENT: Final = re.compile(rb"\x20\x00\x0e\x00(?:UI..|..\x00\x00)([0-9.]{1,64})", re.DOTALL)


def slide_fingerprint(path: Path, vendor: str, properties: Mapping[str, str]) -> str:
    """Hex sha256 that names a slide's content, whatever its file is called; arguments as of ``slide_parts``.

    Raises:
        OSError: A folder or file cannot be read.
    """
    parts = slide_parts(path, vendor, properties)
    if vendor != "dicom" or len(parts) == 1:
        return fingerprint(parts)
    # The files of a series are named at will, by the archive they come from, so their names must not order them.
    return sha256_bytes("".join(sorted(fingerprint([part]) for part in parts)).encode())


def slide_parts(path: Path, vendor: str, properties: Mapping[str, str]) -> list[Path]:
    """All files that a slide's pixels and metadata come from, ``path`` among them.

    Args:
        path: The file that was opened.
        vendor: OpenSlide's vendor word.
        properties: Under OpenSlide's keys; DICOM's series is named there.

    Raises:
        OSError: A folder or file cannot be read.
    """
    if vendor == "mirax":
        return [path, *_files_in(path.with_suffix(""))]
    if vendor == "dicom":
        return _dicom_parts(path, properties.get("dicom.SeriesInstanceUID", ""))
    if vendor == "hamamatsu" and path.suffix.lower() in {".vms", ".vmu"}:
        return [path, *_named_in(path)]
    return [path]


def _files_in(folder: Path) -> list[Path]:
    return [part for part in folder.rglob("*") if part.is_file()] if folder.is_dir() else []


def _named_in(index: Path) -> list[Path]:
    """The images that a Hamamatsu index file (``ImageFile=...``) names."""
    lines = index.read_text(encoding="latin-1").splitlines()
    values = {line.partition("=")[2].strip() for line in lines}
    return [index.parent / value for value in values if value and (index.parent / value).is_file()]


def _dicom_parts(path: Path, series: str) -> list[Path]:
    others = (part for part in path.absolute().parent.iterdir() if part.is_file() and part.name != path.name)
    return [path, *(part for part in others if series and _belongs_to(part, series.encode()))]


def _belongs_to(part: Path, series: bytes) -> bool:
    """Whether a file is a slide image of the series; other objects may name the series too, as what they refer to."""
    return series in _series_named(part)


def dicom_series(path: Path) -> str | None:
    """The series that a DICOM slide image belongs to; None for any other file.

    Raises:
        OSError: The file cannot be read.
    """
    return next((series.decode() for series in _series_named(path)), None)


def _series_named(path: Path) -> list[bytes]:
    """The series that stand in the head of a DICOM slide image, its own first; none in any other file."""
    with path.open("rb") as stream:
        head = stream.read(_DICOM_PREAMBLE + 4)
        if head[_DICOM_PREAMBLE:] != b"DICM":
            return []
        head += stream.read(_DICOM_HEAD)
    if _SLIDE_CLASS not in head:
        return []
    return [found.group(1) for found in _SERIES_ELEMENT.finditer(head)]
