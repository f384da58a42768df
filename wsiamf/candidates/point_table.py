"""A points file as named columns, and which of its rows are for one slide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.cells import Column
from wsiamf.candidates.raw import EVERY_SLIDE
from wsiamf.candidates.slide_names import SlideNames
from wsiamf.errors import CandidateError
from wsiamf.wording import counted, shown

SLIDE_COLUMNS = ("slide", "filename", "file_name", "image")
"""Columns that say which slide a row is for; the first one present is used."""


@dataclass(frozen=True)
class RowsBySlide:
    """The rows of a table that names slides.

    Args:
        column: The column that names them.
        names: The names.
        rows: Indices (from 0) of each name's rows, in order.
        n_nameless: Rows without a name.
    """

    column: str
    names: SlideNames
    rows: Mapping[str, NDArray[np.int64]]
    n_nameless: int


@dataclass(frozen=True)
class PointTable:
    """N rows of a CSV or Parquet file; shared by the slides that it lists, so nobody changes its columns.

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

    @cached_property
    def by_slide(self) -> RowsBySlide | None:
        """Which rows are for which slide; None where the table names no slides."""
        column = next((name for name in SLIDE_COLUMNS if self.has(name)), None)
        if column is None or self.n_rows == 0:
            return None
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.texts(column, np.arange(self.n_rows, dtype=np.int64))):
            rows.setdefault(name, []).append(row)
        nameless = rows.pop("", [])
        if not rows:
            return None
        indices = {name: np.asarray(of_name, dtype=np.int64) for name, of_name in rows.items()}
        return RowsBySlide(column, SlideNames(rows, self.path), indices, len(nameless))


@dataclass(frozen=True)
class TableSlides:
    """``raw.ListedSlides`` of a table.

    Args:
        table: It names slides.
    """

    table: PointTable

    @property
    def names(self) -> SlideNames:
        """The names in the table."""
        return self._by_slide.names

    def own(self, slide_name: str) -> Any:
        """The slide's rows with their numbers, the columns there are, and what a note says of rows without a name."""
        by_slide = self._by_slide
        rows = by_slide.rows[by_slide.names.match(slide_name)]
        names = sorted(set(self.table.columns).difference(SLIDE_COLUMNS))
        cells = {name: self.table.cells(name, rows) for name in names}
        return {"rows": rows + 1, "cells": cells, "nameless": [by_slide.column, by_slide.n_nameless]}

    @property
    def _by_slide(self) -> RowsBySlide:
        assert self.table.by_slide is not None
        return self.table.by_slide


def names_several_slides(table: PointTable) -> bool:
    """Whether more than one slide may ask for the table."""
    return table.by_slide is not None and len(table.by_slide.names.known) > 1


def has_slide_column(columns: Iterable[str]) -> bool:
    """Whether a table with these columns, by their names here, may name slides."""
    return not set(columns).isdisjoint(SLIDE_COLUMNS)


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
    by_slide = table.by_slide
    if by_slide is None or slide_name == EVERY_SLIDE:
        return np.arange(table.n_rows, dtype=np.int64), ()
    rows = by_slide.rows[by_slide.names.match(slide_name)]
    note = f"{counted(by_slide.n_nameless, 'row')} without a slide name in column {by_slide.column!r} left out"
    return rows, (note,) if by_slide.n_nameless else ()


def slides_of_rows(table: PointTable, rows: NDArray[np.int64]) -> list[str] | None:
    """The slide's name in each row; None where the table names no slides."""
    return None if table.by_slide is None else table.texts(table.by_slide.column, rows)
