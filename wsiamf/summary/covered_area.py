"""How much of a rectangle lies in a region: quick bounds and the exact area, for many rectangles at once.

Both come from Green's theorem: the area of a region inside a rectangle is the integral, along the region's outline, of
the outline's height above the rectangle's lower y, clamped to the rectangle. The outline is cut at the lines of a grid
once; the exact area in each grid cell and their running sums follow. A rectangle is bracketed by the grid rectangles just
inside and just outside of it; its exact area is that of the whole cells inside it and of the strips along its four sides,
for which only the pieces of outline in those strips are looked at.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from wsiamf.summary.outline_pieces import Segments, cut_at_grid, region_outline

MAX_CELLS: Final = 2_000_000
"""A finer grid brackets more tightly, but takes memory: this is 16 MB a table."""

_AT_A_TIME: Final = 1024  # rectangles; each gathers the outline's pieces in its strips

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class CoveredArea:
    """The area of a region inside rectangles.

    Args:
        geometry: Valid multipolygon that is not empty, in px.
        cell_px: Side of a grid cell; made larger where there would be more than ``MAX_CELLS``.
    """

    def __init__(self, geometry: shapely.MultiPolygon, cell_px: float) -> None:
        self._left, self._top, right, bottom = geometry.bounds
        self._width, self._height = right - self._left, bottom - self._top
        fewest = max(math.sqrt(self._width * self._height / MAX_CELLS), max(self._width, self._height) / MAX_CELLS)
        self._cell = max(cell_px, fewest)
        self._columns = math.floor(self._width / self._cell) + 1
        self._rows = math.floor(self._height / self._cell) + 1
        self._file(cut_at_grid(region_outline(geometry, self._left, self._top), self._cell))

    def brackets(self, left: Floats, top: Floats, right: Floats, bottom: Floats) -> tuple[Floats, Floats]:
        """Bounds of the area inside each rectangle.

        Args:
            left, top, right, bottom: (n,) in px.

        Returns:
            At least and at most, (n,) each, in px2.
        """
        x0, x1 = (left - self._left) / self._cell, (right - self._left) / self._cell
        y0, y1 = (top - self._top) / self._cell, (bottom - self._top) / self._cell
        at_least = self._whole_cells(np.ceil(x0), np.ceil(y0), np.floor(x1), np.floor(y1))
        at_most = self._whole_cells(np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1))
        return at_least, at_most

    def exact(self, left: Floats, top: Floats, right: Floats, bottom: Floats) -> Floats:
        """Area inside each rectangle.

        Args:
            left, top, right, bottom: (n,) in px.

        Returns:
            (n,) in px2.
        """
        a, b = (np.clip(x - self._left, 0.0, self._width) for x in (left, right))
        c, d = (np.clip(y - self._top, 0.0, self._height) for y in (top, bottom))
        areas = np.zeros(len(a))
        for start in range(0, len(a), _AT_A_TIME):
            some = slice(start, start + _AT_A_TIME)
            areas[some] = self._exact(a[some], b[some], c[some], d[some])
        return areas

    def _exact(self, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
        first_column, last_column = self._number(a, self._columns), self._number(b, self._columns)
        first_row, last_row = self._number(c, self._rows), self._number(d, self._rows)
        between = (first_column + 1, np.maximum(last_column, first_column + 1))
        first_row_end = np.minimum(d, (first_row + 1) * self._cell)
        last_row_start = np.where(last_row > first_row, last_row * self._cell, d)
        return (
            self._in_column(first_column, a, b, c, d)
            + np.where(last_column > first_column, self._in_column(last_column, a, b, c, d), 0.0)
            + self._in_row(first_row, between, c, first_row_end)
            + self._in_row(last_row, between, last_row_start, d)
            + self._whole_cells(between[0], first_row + 1, between[1], last_row)
        )

    def _in_column(self, column: Ints, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
        """Area inside the part of each rectangle that lies in one column of cells."""
        owner, place = _spread(self._column_start[column], self._column_start[column + 1])
        pieces = self._pieces.take(self._by_column[place])
        areas = pieces.heights_inside(a[owner], b[owner], c[owner], d[owner])
        return np.asarray(np.bincount(owner, areas, len(column)), dtype=np.float64)

    def _in_row(self, row: Ints, columns: tuple[Ints, Ints], top: Floats, bottom: Floats) -> Floats:
        """Area between two heights in one row of cells, over the columns ``[from, to)``."""
        in_row = row * self._columns
        owner, place = _spread(self._cell_start[in_row + columns[0]], self._cell_start[in_row + columns[1]])
        pieces = self._pieces.take(place)
        everywhere = np.full(len(owner), np.inf)
        crossed = np.bincount(
            owner, pieces.heights_inside(-everywhere, everywhere, top[owner], bottom[owner]), len(row)
        )
        further_down = self._runs_below[row, columns[1]] - self._runs_below[row, columns[0]]
        return np.asarray(crossed - further_down * (bottom - top))

    def _whole_cells(self, x0: Floats | Ints, y0: Floats | Ints, x1: Floats | Ints, y1: Floats | Ints) -> Floats:
        """Area inside rectangles between grid lines, by the lines' numbers; 0 where one is empty or inside out."""
        first_column, last_column = (np.clip(x, 0, self._columns).astype(np.int64) for x in (x0, x1))
        first_row, last_row = (np.clip(y, 0, self._rows).astype(np.int64) for y in (y0, y1))
        total = self._cumulative
        area = (
            total[last_row, last_column]
            - total[first_row, last_column]
            - total[last_row, first_column]
            + total[first_row, first_column]
        )
        return np.where((x1 > x0) & (y1 > y0), area, 0.0)

    def _number(self, distance: Floats, n_cells: int) -> Ints:
        """Number of the column or row that holds a distance from the grid's corner."""
        return np.minimum(np.floor(distance / self._cell).astype(np.int64), n_cells - 1)

    def _file(self, pieces: Segments) -> None:
        """Sort the pieces by row and column, and take the running sums over the cells."""
        column = self._number(np.maximum((pieces.x0 + pieces.x1) / 2, 0.0), self._columns)
        row = self._number(np.maximum((pieces.y0 + pieces.y1) / 2, 0.0), self._rows)
        order = np.argsort(row * self._columns + column, kind="stable")
        self._pieces, column, row = pieces.take(order), column[order], row[order]
        n_cells = self._rows * self._columns
        self._cell_start = np.searchsorted(row * self._columns + column, np.arange(n_cells + 1))
        self._by_column = np.argsort(column, kind="stable")
        self._column_start = np.searchsorted(column[self._by_column], np.arange(self._columns + 1))
        self._sum_up(column, row)

    def _sum_up(self, column: Ints, row: Ints) -> None:
        pieces, shape = self._pieces, (self._rows, self._columns)
        cell, n_cells = row * self._columns + column, self._rows * self._columns
        run = pieces.x1 - pieces.x0
        height = (pieces.y0 + pieces.y1) / 2 - row * self._cell
        runs = np.bincount(cell, run, n_cells).reshape(shape)
        inside = np.bincount(cell, run * height, n_cells).reshape(shape)
        below = np.cumsum(runs[::-1], axis=0)[::-1] - runs  # pieces further down count with the cell's whole height
        self._runs_below = np.pad(below.cumsum(axis=1), ((0, 0), (1, 0)))
        areas = -(inside + below * self._cell)
        self._cumulative = np.pad(areas.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _spread(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Every place of each range ``[start, end)``, and the number of the range it belongs to."""
    length = end - start
    owner = np.repeat(np.arange(len(start)), length)
    first = np.cumsum(length) - length
    return owner, np.arange(len(owner)) - first[owner] + start[owner]
