"""Numbers from cells: every cell becomes a float or a reason why it does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsiamf.wording import shown

_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")

Column = Sequence[str] | NDArray[np.float64]
"""A column of a points table: text cells, or numbers with NaN for null."""


@dataclass(frozen=True)
class Numbers:
    """A column of N numbers.

    Args:
        values: (N,) float64; NaN where there is no finite number.
        faults: Reason by index, for each cell that had to hold a number and does not.
    """

    values: NDArray[np.float64]
    faults: dict[int, str]


def read_numbers(name: str, cells: Column, *, may_be_missing: bool = False) -> Numbers:
    """Turn a column into numbers.

    Args:
        name: The column's name, for the reasons.
        cells: Text or numbers.
        may_be_missing: Whether a cell without a value (empty, ``NA``, NaN) is fine; infinities and words never are.
    """
    faults: dict[int, str] = {}
    values = cells.copy() if isinstance(cells, np.ndarray) else _parse(name, cells, faults)
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        if index not in faults and not (may_be_missing and np.isnan(values[index])):
            faults[index] = f"{name} is {'missing' if np.isnan(values[index]) else 'infinite'}"
        values[index] = np.nan
    return Numbers(values, faults)


def _parse(name: str, cells: Sequence[str], faults: dict[int, str]) -> NDArray[np.float64]:
    values = np.full(len(cells), np.nan)
    for index, cell in enumerate(cells):
        try:
            values[index] = parse_number(cell)
        except ValueError:
            hint = " (write a point, not a comma)" if _DECIMAL_COMMA.fullmatch(cell) else ""
            faults[index] = f"{name} is {shown(cell)}, not a number{hint}"
    return values


def parse_number(cell: str) -> float:
    """The number that a cell holds, infinite ones too; NaN for the words of a missing value.

    Raises:
        ValueError: It holds something else.
    """
    if "_" in cell:  # Python reads 1_000 as a number; no other program would
        raise ValueError(cell)
    try:
        return float(cell)
    except ValueError:
        if cell.strip().lower() in _MISSING:
            return float("nan")
        raise
