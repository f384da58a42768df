"""The cells of a manifest as text: CSV, TSV or Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wsiamf.candidates.delimited import is_text, read_rows
from wsiamf.errors import CandidateError, ManifestError

_HEAD_BYTES: Final = 4096
_PARQUET_MAGIC: Final = b"PAR1"
_REMEDY: Final = "write the manifest as CSV (UTF-8) or Parquet, one row a slide"


@dataclass(frozen=True)
class Cells:
    """A table of text; row k of ``rows`` is row k + 1 of the manifest.

    Args:
        header: Names of the columns as the file has them, outer blanks removed.
        rows: Cells without outer blanks, empty text where nothing stands; a row may be longer or shorter than the header.
    """

    header: list[str]
    rows: list[list[str]]


def read_cells(path: Path) -> Cells:
    """Read a manifest's cells; text stays text (``001``).

    Raises:
        ManifestError: There is no such file, or it is no table that can be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except IsADirectoryError as error:
        raise ManifestError(f"{path}: is a folder, not a manifest; pass --points with a folder of slides.") from error
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such manifest; check the path.") from error
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); check the path and its rights.") from error
    if not head.strip():
        raise ManifestError(f"{path}: is empty; {_REMEDY}.")
    if head.startswith(_PARQUET_MAGIC):
        return _parquet_cells(path)
    if not is_text(head):
        raise ManifestError(f"{path}: is neither text nor Parquet; {_REMEDY} (in Excel: 'CSV UTF-8').")
    return _text_cells(path)


def _text_cells(path: Path) -> Cells:
    try:
        rows = [[cell.strip() for cell in row] for row in read_rows(path)]
    except CandidateError as error:
        raise ManifestError(str(error)) from error
    if not rows:
        raise ManifestError(f"{path}: is empty; {_REMEDY}.")
    return Cells([name.strip("\ufeff \t") for name in rows[0]], rows[1:])


def _parquet_cells(path: Path) -> Cells:
    try:
        table = pq.read_table(path)
        columns = [_texts(column) for column in table.columns]
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}; {_REMEDY}.") from error
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Cells([str(name).strip() for name in table.column_names], rows)


def _texts(values: pa.ChunkedArray) -> list[str]:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type) and pc.all(pc.equal(values, pc.floor(values))).as_py():
        values = values.cast(pa.int64())  # pandas turns integers into floats where some are missing
    return [(text or "").strip() for text in values.cast(pa.string()).to_pylist()]
