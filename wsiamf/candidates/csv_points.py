"""Plain points as CSV: comma, semicolon or tab, UTF-8."""

from __future__ import annotations

from pathlib import Path

from wsiamf.candidates.columns import find_columns
from wsiamf.candidates.delimited import is_text, listed_in, shared_table
from wsiamf.candidates.plain import plain_points
from wsiamf.candidates.raw import ListedSlides, RawPoints, Reader, SlideLike

_NAME = "csv"


def _sniff(_path: Path, head: bytes) -> bool:
    # JSON and XML are text too, but never a table.
    return is_text(head) and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[", b"<"))


def _read(path: Path, slide: SlideLike) -> RawPoints:
    return plain_points(shared_table(path, _NAME, find_columns), slide)


def _listed(path: Path) -> ListedSlides | None:
    return listed_in(path, _NAME, find_columns)


READER = Reader(name=_NAME, frame="level0", sniff=_sniff, read=_read, listed=_listed)
