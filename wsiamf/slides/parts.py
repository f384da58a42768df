"""The files that make up one slide: one for most formats, a folder's worth for MRXS, DICOM, VMS and OME-Zarr."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from wsiamf.errors import SlideReadError
from wsiamf.files import fingerprint, sha256_bytes
from wsiamf.slides.dicom_head import slide_series, starts_dicom, unread_syntax

OME_ZARR: Final = "ome-zarr"
SERIES_KEY: Final = "dicom.SeriesInstanceUID"
_ZARR_METADATA: Final = frozenset({"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"})
_OF_DESKTOPS: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})  # others (.DS_Store, ._x) are hidden
_ZARR_ROOT: Final = ("zarr.json", ".zattrs", ".zgroup")
_PICTURE_KEYS: Final = (b'"multiscales"', b'"bioformats2raw.layout"')
_MOST_CHUNKS_READ: Final = 256


def slide_fingerprint(path: Path, vendor: str, properties: Mapping[str, str]) -> str:
    """Hex sha256 that names a slide's content, whatever its file is called; arguments as of ``slide_parts``, or ``OME_ZARR``.

    Raises:
        OSError: A folder or file cannot be read.
        SlideReadError: None of the slide's files are there.
    """
    if vendor == OME_ZARR:
        return store_fingerprint(path)
    parts = slide_parts(path, vendor, properties)
    if not parts:  # a hash of nothing would be every such slide's
        raise SlideReadError(f"{path}: holds none of the files of its slide any more; copy it again.")
    if vendor != "dicom" or len(parts) == 1:
        return fingerprint(parts)
    # The files of a series are named at will, by the archive they come from, so their names must not order them.
    return sha256_bytes("".join(sorted(fingerprint([part]) for part in parts)).encode())


def store_fingerprint(folder: Path) -> str:
    """Hex sha256 that names the content of a chunked store on disk, whatever its folder is called.

    It covers the place and size of every file but those that desktops leave behind, all metadata, and ``fingerprint`` of at
    most 256 chunks, evenly spread over the sorted places: a store has up to millions of them, and reading each would be
    reading the whole slide.

    Raises:
        OSError: A folder or file cannot be read.
    """
    places = {part.relative_to(folder).as_posix(): part for part in _files_in(folder)}
    sizes = {place: part.stat().st_size for place, part in places.items()}
    return fingerprint_of_store(sizes, lambda wanted: [fingerprint([places[place]]) for place in wanted])


def fingerprint_of_store(sizes: Mapping[str, int], read: Callable[[Sequence[str]], Sequence[str]]) -> str:
    """``store_fingerprint`` of a store that lies anywhere.

    Args:
        sizes: Bytes of every file, by its place in the store.
        read: Gives ``files.fingerprint`` of the files at some places, in their order.
    """
    sizes = {place: size for place, size in sizes.items() if _is_content(place)}
    chunks = sorted(place for place in sizes if place.rpartition("/")[2] not in _ZARR_METADATA)
    step = max(1, -(-len(chunks) // _MOST_CHUNKS_READ))
    listed = [f"{place} {size}" for place, size in sorted(sizes.items())]
    wanted = sorted(sizes.keys() - set(chunks)) + chunks[::step]
    return sha256_bytes("\n".join([*listed, *read(wanted)]).encode())


def slide_parts(path: Path, vendor: str, properties: Mapping[str, str]) -> list[Path]:
    """All files that a slide's pixels and metadata come from, ``path`` among them where it is a file.

    Args:
        path: The file or folder that was opened.
        vendor: OpenSlide's vendor word.
        properties: Under OpenSlide's keys; DICOM's series is named there.

    Raises:
        OSError: A folder or file cannot be read.
    """
    if vendor == "mirax":
        return [path, *_files_in(path.with_suffix(""))]
    if vendor == "dicom":
        return _dicom_parts(path, properties.get(SERIES_KEY, ""))
    if vendor == "hamamatsu" and path.suffix.lower() in {".vms", ".vmu"}:
        return [path, *_named_in(path)]
    return [path]


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [part for part in folder.rglob("*") if _is_content(part.relative_to(folder).as_posix()) and part.is_file()]


def _is_content(place: str) -> bool:
    """Whether a file of a slide's folder, or of a store, is the slide's, and not a desktop's, which come by a mere look at it.

    Args:
        place: Its place in the folder, with slashes.
    """
    hidden = any(part.startswith(".") and part not in _ZARR_METADATA for part in place.split("/"))
    return not hidden and place.rpartition("/")[2].lower() not in _OF_DESKTOPS


def _named_in(index: Path) -> list[Path]:
    """The images that a Hamamatsu index file (``ImageFile=...``) names."""
    lines = index.read_text(encoding="latin-1").splitlines()
    values = {line.partition("=")[2].strip() for line in lines}
    return [index.parent / value for value in values if value and (index.parent / value).is_file()]


def _dicom_parts(path: Path, series: str) -> list[Path]:
    if path.is_dir():
        return dicom_slides(path).get(series, [])
    others = (
        part
        for part in path.absolute().parent.iterdir()
        if _is_content(part.name) and part.is_file() and part.name != path.name
    )
    return [path, *(part for part in others if series and dicom_series(part) == series)]


def dicom_series(path: Path) -> str | None:
    """The series that a DICOM slide image belongs to; None for any other file, and for a pipe, which would be waited for.

    Raises:
        OSError: The file cannot be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return slide_series(stream)


def dicom_unread_syntax(path: Path) -> str | None:
    """Name of a DICOM file's transfer syntax where it hides what the file is; None for any other.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        return unread_syntax(stream)


def dicom_slides(folder: Path) -> dict[str, list[Path]]:
    """The DICOM slide images of a folder (not of folders in it), by their series, in the order of their names.

    Raises:
        OSError: The folder or a file cannot be read.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if _is_content(file.name) and (series := dicom_series(file)) is not None:
            found.setdefault(series, []).append(file)
    return found


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, of whatever kind.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        return starts_dicom(stream)


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr store, of whatever content."""
    return any((folder / name).is_file() for name in _ZARR_ROOT)


def is_ome_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr store that says it holds a picture.

    Raises:
        OSError: A file in it cannot be read.
    """
    files = [folder / name for name in _ZARR_ROOT if (folder / name).is_file()]
    return any(key in file.read_bytes() for file in files for key in _PICTURE_KEYS)


def is_slide_folder(folder: Path) -> bool:
    """Whether a folder is one slide by itself: an OME-Zarr picture, or the folder of one DICOM series.

    Raises:
        OSError: The folder or a file in it cannot be read.
    """
    return is_ome_zarr(folder) or (not is_zarr(folder) and len(dicom_slides(folder)) == 1)
