"""A points file as named columns, and which of its rows are for one slide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.cells import Column
from wsiamf.candidates.raw import EVERY_SLIDE
from wsiamf.candidates.slide_names import matching_name
from wsiamf.candidates.wording import counted, shown
from wsiamf.errors import CandidateError

SLIDE_COLUMNS = ("slide", "filename", "file_name", "image")
"""Columns that say which slide a row is for; the first one present is used."""


@dataclass(frozen=True)
class PointTable:
    """N rows of a CSV or Parquet file.

    Args:
        path: The file, for messages.
        header: The columns' names as the file writes them.
        columns: Those that were asked for, by name in lower case without outer blanks.
        n_rows: N.
    """

    path: Path
    header: Sequence[str]
    columns: Mapping[str, Column]
    n_rows: int

    def has(self, *names: str) -> bool:
        """Whether all of the columns are there."""
        return all(name in self.columns for name in names)

    def cells(self, name: str, rows: NDArray[np.int64]) -> Column:
        """A column's cells of some rows (indices from 0)."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return column[rows]
        return column if len(rows) == len(column) else [column[row] for row in rows.tolist()]

    def texts(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        """A column's cells as text without outer blanks."""
        return [str(cell).strip() for cell in self.cells(name, rows)]


def normalised_header(header: Iterable[str], wanted: Iterable[str], path: Path) -> dict[str, int]:
    """Position of each wanted column, its name matched without case, outer blanks and byte order mark.

    Raises:
        CandidateError: Two columns have the same wanted name.
    """
    names = [name.strip("\ufeff \t").lower() for name in header]
    wanted = set(wanted)
    twice = [name for name, n in Counter(names).items() if n > 1 and name in wanted]
    if twice:
        raise CandidateError(f"{path}: has two columns {shown(twice[0])}; remove or rename one.")
    return {name: index for index, name in enumerate(names) if name in wanted}


def missing_columns(table: PointTable, expected: str) -> CandidateError:
    """The error for a table without coordinates: the columns found and those expected."""
    found = ", ".join(shown(name.strip()) for name in table.header[:20])
    return CandidateError(f"{table.path}: has no coordinates; its columns are {found}; expected {expected}.")


def rows_of_slide(table: PointTable, slide_name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Indices (from 0) of the rows for a slide, and notes; all rows where the table names no slides.

    Raises:
        CandidateError: No row is for the slide, or two different names could be.
    """
    everything = np.arange(table.n_rows, dtype=np.int64)
    column = _slide_column(table)
    if column is None or slide_name == EVERY_SLIDE:
        return everything, ()
    names = table.texts(column, everything)
    match = matching_name(names, slide_name, table.path)
    rows = np.asarray([row for row, name in enumerate(names) if name == match], dtype=np.int64)
    n_nameless = names.count("")
    note = f"{counted(n_nameless, 'row')} without a slide name in column {column!r} left out"
    return rows, (note,) if n_nameless else ()


def slides_of_rows(table: PointTable, rows: NDArray[np.int64]) -> list[str] | None:
    """The slide's name in each row; None where the table names no slides."""
    column = _slide_column(table)
    return None if column is None else table.texts(column, rows)


def _slide_column(table: PointTable) -> str | None:
    """The column that names slides, if any row has a name in it."""
    column = next((name for name in SLIDE_COLUMNS if table.has(name)), None)
    if column is None or not any(table.texts(column, np.arange(table.n_rows, dtype=np.int64))):
        return None
    return column
