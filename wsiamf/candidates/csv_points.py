"""Plain points as CSV: comma, semicolon or tab, UTF-8."""

from __future__ import annotations

from pathlib import Path

from wsiamf.candidates.columns import find_columns
from wsiamf.candidates.delimited import is_text, read_delimited
from wsiamf.candidates.plain import plain_points
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike


def _sniff(_path: Path, head: bytes) -> bool:
    # JSON and XML are text too, but never a table.
    return is_text(head) and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[", b"<"))


def _read(path: Path, slide: SlideLike) -> RawPoints:
    return plain_points(read_delimited(path, find_columns), slide)


READER = Reader(name="csv", frame="level0", sniff=_sniff, read=_read)
