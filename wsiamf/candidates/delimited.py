"""Comma, semicolon or tab separated text: decoding, the separator, the rows."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from wsiamf.candidates.parsed_file import read_once
from wsiamf.candidates.point_table import (
    PointTable,
    TableSlides,
    has_slide_column,
    names_several_slides,
    normalised_header,
)
from wsiamf.errors import CandidateError
from wsiamf.wording import reason_of

_SEPARATORS = ",;\t"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEADER_BYTES = 1 << 16
_MOST_MISSING = 3_000_000  # cells that short rows leave out: they cost no byte of the file, and memory each

FindColumns = Callable[[Sequence[str], Path], dict[str, int]]
"""From a header to the position of each column by the name that it is to have."""


def is_text(head: bytes) -> bool:
    """Whether a file's first bytes are text rather than binary data."""
    return b"\0" not in head or head.startswith(_UTF16_MARKS)


def header_of(head: bytes) -> list[str]:
    """Names in the first line of a file, in lower case without outer blanks; good enough to tell formats apart."""
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    first = text.splitlines()[0] if text else ""
    return [name.strip().strip('"').lower() for name in first.split(_separator(first))]


def read_rows(path: Path) -> Iterator[list[str]]:
    """The rows of a separated text file, its header first, blank lines left out; all cells are text.

    Raises:
        CandidateError: Not UTF-8, or quotes that do not close.
    """
    return _lines(_decoded(path), path)


def listed_in(path: Path, kind: str, wanted: Sequence[str] | FindColumns) -> TableSlides | None:
    """The slides that a separated text file lists; the header alone is read where no column names any.

    Args:
        path: The file.
        kind: The format's name.
        wanted: As of ``shared_table``.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
    if not has_slide_column(_places(next(_lines(head, path), []), wanted, path)):
        return None
    table = shared_table(path, kind, wanted)
    return None if table.by_slide is None else TableSlides(table)


def shared_table(path: Path, kind: str, wanted: Sequence[str] | FindColumns) -> PointTable:
    """As ``read_delimited``, read once for all the slides of a file.

    Args:
        path: The file.
        kind: The format's name.
        wanted: As of ``read_delimited``, the same for all files of the format.
    """
    return read_once(path, kind, lambda file: read_delimited(file, wanted), names_several_slides)


def read_delimited(path: Path, wanted: Sequence[str] | FindColumns) -> PointTable:
    """Read a separated text file; all its cells are text.

    Args:
        path: The file.
        wanted: Names of the columns to keep, in lower case; or what finds them in a header.

    Raises:
        CandidateError: Not UTF-8, empty, two columns of one wanted name, a row with more cells than the header, or rows
            that leave out three million cells of the columns kept, and as many as the file has bytes.
    """
    cells_left = max(_MOST_MISSING, path.stat().st_size)
    lines = read_rows(path)
    header = next(lines, None)
    if header is None:
        raise CandidateError(f"{path}: is empty; expected a header line.")
    places = _places(header, wanted, path)
    columns: dict[str, list[str]] = {name: [] for name in places}
    targets = [(columns[name].append, place) for name, place in places.items()]
    n_rows = 0
    for n_rows, row in enumerate(lines, start=1):
        n_cells = len(row)
        if n_cells > len(header):
            _refuse_more(row, len(header), f"{path}: row {n_rows}")
        elif n_cells < len(header):
            cells_left -= sum(place >= n_cells for _, place in targets)
            if cells_left < 0:
                raise CandidateError(
                    f"{path}: row {n_rows} and others before it are far shorter than the header of {len(header):,} columns; "
                    "take the columns out that no row fills."
                )
        for append, place in targets:
            append(row[place] if place < n_cells else "")
    return PointTable(path=path, header=header, columns=columns, n_rows=n_rows)


def _places(header: Sequence[str], wanted: Sequence[str] | FindColumns, path: Path) -> dict[str, int]:
    return wanted(header, path) if callable(wanted) else normalised_header(header, wanted, path)


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(_UTF16_MARKS):
        raise CandidateError(f"{path}: is UTF-16 text; save it as UTF-8 (in Excel: 'CSV UTF-8').")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CandidateError(
            f"{path}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8."
        ) from error


def _lines(text: str, path: Path) -> Iterator[list[str]]:
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(first), strict=True, skipinitialspace=True)
    try:
        yield from (row for row in reader if row)  # blank lines are no rows
    except csv.Error as error:
        raise CandidateError(
            f"{path}: line {reader.line_num}: {reason_of(error)}; correct the quotes there."
        ) from error


def _separator(header: str) -> str:
    return max(_SEPARATORS, key=header.count)  # the first of equals: a comma


def _refuse_more(row: list[str], n_columns: int, where: str) -> None:
    if any(cell.strip() for cell in row[n_columns:]):
        raise CandidateError(
            f"{where} has {len(row)} cells, the header {n_columns}; quote cells that hold the separator "
            "(decimal commas need another separator or points)."
        )
