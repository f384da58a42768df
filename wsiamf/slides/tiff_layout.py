"""What a TIFF file holds: whether it is whole, whose it is, its pyramid, and whether its pixels can be decoded."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile

from wsiamf.addresses import Address
from wsiamf.errors import UnsupportedSlideError
from wsiamf.slides.byte_ranges import RemoteRanges

# tifffile logs what it stumbles over; what matters of it is raised here, so it need not reach stderr by itself as well.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

READ_FAILURES: Final = (
    tifffile.TiffFileError,
    OSError,
    ValueError,  # tifffile's word for a compression without decoder
    RuntimeError,  # imagecodecs' errors descend from it
    TypeError,
    LookupError,
    ArithmeticError,  # sides of 0 px
    EOFError,
    ImportError,  # a codec that imagecodecs was built without
    struct.error,
)

_VENDOR_FLAGS: Final = {
    "svs": "Aperio",
    "ndpi": "Hamamatsu",
    "scn": "Leica",
    "bif": "Ventana",
    "philips": "Philips",
    "avs": "Argos",
    "qpi": "PerkinElmer",
    "indica": "Indica Labs",
    "sis": "Olympus",
}
_TRESTLE: Final = "MedScan"  # of which tifffile has no flag; its tiles overlap
VENDOR_SUFFIXES: Final = {
    ".svs",
    ".ndpi",
    ".scn",
    ".bif",
    ".svslide",
    ".mrxs",
    ".vms",
    ".vmu",
    ".czi",
    ".dcm",
    ".qptiff",
}
_VENDOR_COMPRESSIONS: Final = {33003, 33005}  # Aperio's JPEG 2000, one of them in YCbCr that no tag declares
_COLOURS: Final = {
    tifffile.PHOTOMETRIC.MINISWHITE: {1},
    tifffile.PHOTOMETRIC.MINISBLACK: {1, 2},
    tifffile.PHOTOMETRIC.RGB: {3, 4},
    tifffile.PHOTOMETRIC.YCBCR: {3},
}
_ASPECT_PX: Final = 2  # a level's sides are rounded, so its aspect differs from level 0's by some px


@contextmanager
def open_tiff(path: Address, remote: RemoteRanges | None = None) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF for a look at its layout.

    Args:
        path: The file.
        remote: The file where it is not on a local disk.

    Raises:
        UnsupportedSlideError: It is no TIFF, or its directory is damaged.
        SlideReadError: It is remote, and cannot be reached.
    """
    assert remote is not None or isinstance(path, Path), "a file at an address needs its ranges"
    source: Any = path if remote is None else remote.stream()
    try:
        with tifffile.TiffFile(source, name=None if remote is None else path.name) as tiff:
            yield tiff
    except READ_FAILURES as error:
        raise UnsupportedSlideError(
            f"{path}: no slide that OpenSlide or tifffile can read ({' '.join(str(error).split())}); "
            "check that it is a slide, and copy it again if it may be incomplete."
        ) from error


def refuse_incomplete(path: Address, tiff: tifffile.TiffFile) -> None:
    """Raise unless the whole file is there: every directory, and every tile or strip of every picture.

    A copy that broke off often opens all the same, and would fail only at the tiles that are missing.

    Raises:
        UnsupportedSlideError: Something ends after the end of the file.
    """
    size = tiff.filehandle.size
    if not len(tiff.pages) or _next_directory(tiff) != 0:
        raise UnsupportedSlideError(_incomplete(path, "its directory ends after the end of the file"))
    for page in all_pages(tiff):
        if _values_beyond(tiff, page, size):
            raise UnsupportedSlideError(_incomplete(path, "the value of a tag lies beyond its end"))
        if len(page.pages or ()) != len(page.subifds or ()):
            raise UnsupportedSlideError(_incomplete(path, "a sub-directory ends after the end of the file"))
        counts = np.asarray(page.databytecounts, dtype=np.int64)
        ends = np.asarray(page.dataoffsets, dtype=np.int64)[: len(counts)] + counts[: len(page.dataoffsets)]
        if (missing := int((ends > size).sum())) > 0:
            raise UnsupportedSlideError(
                _incomplete(path, f"{missing} of {len(ends)} tiles or strips lie beyond its end")
            )


def refuse_vendor(path: Address, tiff: tifffile.TiffFile) -> None:
    """Raise where the file is a scanner vendor's, which only OpenSlide knows how to read in full.

    Raises:
        UnsupportedSlideError: It is.
    """
    if (vendor := vendor_of(path, tiff)) is not None:
        raise UnsupportedSlideError(
            f"{path}: a scanner vendor's slide ({vendor}) that OpenSlide does not recognise, so it is damaged or of an "
            "unknown version; copy it again from its source."
        )


def vendor_of(path: Address, tiff: tifffile.TiffFile) -> str | None:
    """Whose slide a file is, by its tags or its suffix; None for a plain TIFF."""
    vendor = next((name for flag, name in _VENDOR_FLAGS.items() if getattr(tiff, f"is_{flag}")), None)
    first: Any = tiff.pages[0] if len(tiff.pages) else None
    if vendor is None and first is not None and str(first.tags.valueof("Software")).startswith(_TRESTLE):
        return "Trestle"
    is_plain = first is not None and first.is_tiled  # whatever it is called: OpenSlide reads it as such
    if vendor is None and not is_plain and path.suffix.lower() in VENDOR_SUFFIXES:
        return f"by its suffix, {path.suffix}"
    return vendor


def refuse_stack(path: Address, tiff: tifffile.TiffFile) -> None:
    """Raise where the file holds several pictures of one size.

    Raises:
        UnsupportedSlideError: It does.
    """
    pages: list[Any] = list(tiff.pages)
    sizes = [(page.imagewidth, page.imagelength) for page in pages]
    if sizes.count(sizes[0]) > 1:
        raise UnsupportedSlideError(
            f"{path}: a stack of {sizes.count(sizes[0])} images of {sizes[0][0]} x {sizes[0][1]} px, not one slide; "
            "stacks of crops are for `wsiamf predict`, and a z-stack needs one plane saved by itself."
        )


def pyramid(path: Address, tiff: tifffile.TiffFile) -> list[Any]:
    """The pages that are levels of one picture, finest first: the first page, and what repeats it smaller.

    Labels, macro images and thumbnails, marked as reduced or not, are left out where their shape gives them away. Where the
    first page is in tiles, levels are too and are marked as reduced, as OpenSlide has it.

    Raises:
        UnsupportedSlideError: The first page is not in tiles, and one that is not marked as reduced shows another picture.
    """
    pages: list[Any] = list(tiff.pages)
    first = pages[0]
    levels = [first]
    for page in [*pages[1:], *(first.pages or ())]:
        is_marked = bool(page.is_reduced or page.is_subifd)
        like_first = not first.is_tiled or (page.is_tiled and is_marked)
        if like_first and repeats(first, page) and page.imagewidth < levels[-1].imagewidth:
            levels.append(page)
        elif not first.is_tiled and not is_marked:
            raise UnsupportedSlideError(
                f"{path}: holds several pictures that form no pyramid ({len(pages)} pages); save the slide by itself."
            )
    return levels


def repeats(first: Any, page: Any) -> bool:
    """Whether a page has the aspect of the first, within the rounding of its sides."""
    scale = first.imagewidth / page.imagewidth
    return bool(abs(first.imagelength / scale - page.imagelength) <= _ASPECT_PX)


def refuse_undecodable(path: Address, pages: Sequence[Any]) -> None:
    """Raise unless every page is 8-bit grey or RGB in a compression that can be decoded here; decodes nothing.

    Raises:
        UnsupportedSlideError: Names what cannot be read.
    """
    for page in pages:
        if (reason := _obstacle(page)) is not None:
            raise UnsupportedSlideError(
                f"{path}: {reason}; convert it to an 8-bit RGB TIFF, for instance with `vips tiffsave`."
            )


def all_pages(tiff: tifffile.TiffFile) -> Iterator[Any]:
    """Every page, each followed by its sub-pages."""
    for page in tiff.pages:
        yield page
        yield from page.pages or ()


def _next_directory(tiff: tifffile.TiffFile) -> int | None:
    """What the last directory names as its successor: 0 at the end of a whole file, None where that cannot be read."""
    position = tiff.pages.next_page_offset
    if position is None:
        return None
    tiff.filehandle.seek(position)
    data = tiff.filehandle.read(tiff.tiff.offsetsize)
    return int(struct.unpack(tiff.tiff.offsetformat, data)[0]) if len(data) == tiff.tiff.offsetsize else None


def _values_beyond(tiff: tifffile.TiffFile, page: Any, size: int) -> bool:
    """Whether a directory names a value after the end of the file, such as a description; tifffile leaves those out."""
    words = tiff.tiff
    tiff.filehandle.seek(page.offset)
    (count,) = struct.unpack(words.tagnoformat, tiff.filehandle.read(words.tagnosize))
    entries = tiff.filehandle.read(count * words.tagsize)
    for start in range(0, len(entries) - words.tagsize + 1, words.tagsize):
        _, kind = struct.unpack_from(words.tagformat1, entries, start)
        n_values, value = struct.unpack_from(words.tagformat2, entries, start + struct.calcsize(words.tagformat1))
        n_bytes = n_values * struct.calcsize(tifffile.TIFF.DATA_FORMATS.get(kind, ""))
        if n_bytes > words.offsetsize and struct.unpack(words.offsetformat, value)[0] + n_bytes > size:
            return True
    return False


def _incomplete(path: Address, what: str) -> str:
    return f"{path}: the file is incomplete, {what}; copy it again from its source."


def _obstacle(page: Any) -> str | None:
    if page.dtype != np.uint8 or page.bitspersample != 8 or page.imagedepth != 1:
        return f"samples of {page.bitspersample} bits ({page.dtype}), where 8-bit colour is read"
    if page.samplesperpixel not in _COLOURS.get(page.photometric, ()):
        return (
            f"colours of a kind that is not read ({page.samplesperpixel} samples, photometric {int(page.photometric)})"
        )
    if page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression != tifffile.COMPRESSION.JPEG:
        return "YCbCr colours outside JPEG"
    if int(page.compression) in _VENDOR_COMPRESSIONS:
        return f"a vendor's compression ({int(page.compression)}) that only OpenSlide reads"
    if not _has_decoder(page.compression) or page.predictor not in tifffile.TIFF.UNPREDICTORS:
        return f"compression {int(page.compression)} (predictor {int(page.predictor)}), which nothing here can decode"
    return None


def _has_decoder(compression: int) -> bool:
    codecs = tifffile.TIFF.DECOMPRESSORS
    # imagecodecs puts a stub, which raises when called, in the place of a codec that it was built without.
    return compression in codecs and codecs[compression].__name__ != "stub_decode"
