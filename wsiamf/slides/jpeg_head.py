"""The size that a JPEG stream states of itself, read without decoding it.

simplejpeg's reader of headers refuses streams of unusual subsampling (4:4:1, 3 to 1), which decoders take and allocate for.
"""

from __future__ import annotations

from typing import Final

_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the others are tables
_WITHOUT_LENGTH: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9), 0xFF})  # stuffing, restarts, the start, fill
_LAST: Final = frozenset({0xD9, 0xDA})  # the end, and the start of the coefficients


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in px of a JPEG stream; None where no frame header stands before its coefficients."""
    position = data.find(b"\xff")
    while 0 <= position < len(data) - 1:
        marker = data[position + 1]
        if marker in _LAST:
            return None
        if marker in _START_OF_FRAME:
            head = data[position + 5 : position + 9]
            return (int.from_bytes(head[2:], "big"), int.from_bytes(head[:2], "big")) if len(head) == 4 else None
        if marker in _WITHOUT_LENGTH:
            position = data.find(b"\xff", position + (1 if marker == 0xFF else 2))
        else:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            position = data.find(b"\xff", position + 2 + length)
    return None
