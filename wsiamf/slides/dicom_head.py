"""The head of a DICOM file: what kind of object it is, and which series it belongs to, without pydicom."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

_PREAMBLE: Final = 128
_SLIDE_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
_IMPLICIT: Final = "1.2.840.10008.1.2"
_UNREAD_SYNTAXES: Final = {
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
}
_TRANSFER_SYNTAX: Final = (0x0002, 0x0010)
_CLASS: Final = (0x0008, 0x0016)
_SERIES: Final = (0x0020, 0x000E)
_META_GROUP: Final = 0x0002
_DELIMITERS: Final = 0xFFFE  # group of items and of the ends of items and sequences, which have no VR
_ENDS: Final = ((0xFFFE, 0xE00D), (0xFFFE, 0xE0DD))
_UNKNOWN: Final = b"UN"  # where of undefined length, what it holds is in implicit VR
_LONG: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_UNDEFINED: Final = 0xFFFFFFFF
_LONGEST_UID: Final = 256  # 64 by the standard, to which not all that strip identities keep

_Tag = tuple[int, int]


def starts_dicom(stream: BinaryIO) -> bool:
    """Whether a file is DICOM, of whatever kind; leaves the stream after the mark."""
    return stream.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"


def slide_series(stream: BinaryIO) -> str | None:
    """The series that a DICOM slide image belongs to; None for any other file.

    Objects name other series too, as what they refer to, in sequences that may stand before their own: only what stands
    outside any sequence is the file's own.

    Args:
        stream: The file, at its start.

    Raises:
        OSError: It cannot be read.
    """
    if not starts_dicom(stream):
        return None
    own = _head(stream)
    return own.get(_SERIES) if own.get(_CLASS) == _SLIDE_CLASS else None


def unread_syntax(stream: BinaryIO) -> str | None:
    """Name of a DICOM file's transfer syntax where all after its first elements is written in a way that is not read here.

    Arguments and errors as of ``slide_series``.
    """
    return _UNREAD_SYNTAXES.get(_head(stream).get(_TRANSFER_SYNTAX, "")) if starts_dicom(stream) else None


def _head(stream: BinaryIO) -> dict[_Tag, str]:
    """What ``_own_uids`` finds, from after the mark."""
    found = {}
    with suppress(struct.error):  # the file ends, or is none of the encodings that slides have
        for tag, uid in _own_uids(stream):
            found[tag] = uid
    return found


def _own_uids(stream: BinaryIO) -> Iterator[tuple[_Tag, str]]:
    """Class and series, as they stand outside any sequence. Elements are sorted by their tags, so nothing follows those."""
    implicit, is_meta, syntax = False, True, ""
    while True:
        start = stream.tell()
        tag, kind, length = _element(stream, implicit=implicit)
        if is_meta and tag[0] != _META_GROUP:  # what follows the meta group may be written otherwise
            is_meta, implicit = False, syntax == _IMPLICIT
            stream.seek(start)
        elif tag > _SERIES:
            return
        elif length == _UNDEFINED:
            _skip_items(stream, implicit=implicit or kind == _UNKNOWN)
        elif tag in (_TRANSFER_SYNTAX, _CLASS, _SERIES) and length <= _LONGEST_UID:
            uid = stream.read(length).decode("latin-1").rstrip("\0 ")
            syntax = uid if tag == _TRANSFER_SYNTAX else syntax
            yield tag, uid
            if tag == _SERIES:
                return
        else:
            stream.seek(length, 1)


def _element(stream: BinaryIO, *, implicit: bool) -> tuple[_Tag, bytes, int]:
    """Tag, value representation (empty where none is written) and length of the value that follows."""
    group, number, kind, short = struct.unpack("<HH2sH", stream.read(8))
    if implicit or group == _DELIMITERS:
        return (group, number), b"", int.from_bytes(kind + short.to_bytes(2, "little"), "little")
    if kind in _LONG:
        return (group, number), kind, struct.unpack("<I", stream.read(4))[0]
    return (group, number), kind, short


def _skip_items(stream: BinaryIO, *, implicit: bool) -> None:
    """Go to the end of a sequence of undefined length, whose items may hold others."""
    inside = [implicit]  # of each open sequence and item, whether its elements are in implicit VR
    while inside:
        tag, kind, length = _element(stream, implicit=inside[-1])
        if tag in _ENDS:
            inside.pop()
        elif length == _UNDEFINED:
            inside.append(inside[-1] or kind == _UNKNOWN)
        else:
            stream.seek(length, 1)
