"""The rows that an export writes, with what most formats want to know of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from wsiamf import statuses
from wsiamf.classes import AMF, CLASS_COLORS, NMF, NON_MITOTIC
from wsiamf.export.results import SlideResult
from wsiamf.export.rows import ROWS_AT_A_TIME, Positions, counted_positions, nullable_floats

SET_ASIDE_COLOR: Final = (127, 127, 127)
"""Of rows that do not count."""
SET_ASIDE_CLASSES: Final = (
    NON_MITOTIC,
    *(status.replace("_", " ") for status in statuses.STATUSES if status not in (statuses.OK, statuses.NON_MITOTIC)),
)
"""Classes of rows that do not count: why they do not."""
CLASS_NAMES: Final = (AMF, NMF, *SET_ASIDE_CLASSES)
"""Every class that an export can hold, in the order of display."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One row as it is exported; ``x, y`` are level-0 px of the file, ``x_qupath, y_qupath`` count from its bounds."""

    candidate_id: str
    uuid: str
    x: float
    y: float
    x_qupath: float
    y_qupath: float
    class_name: str
    score: float | None
    p_atypical: float | None
    p_hard: float | None

    @property
    def color(self) -> tuple[int, int, int]:
        """RGB of the class."""
        return CLASS_COLORS.get(self.class_name, SET_ASIDE_COLOR)


def iter_marks(result: SlideResult, *, every_row: bool) -> Iterator[Mark]:
    """The rows to export, in the order of the table.

    Args:
        result: The slide's.
        every_row: Also rows that do not count, if they have a position; their class says why they do not count.
    """
    table = result.table()
    positions = _placed_positions(table) if every_row else counted_positions(table)
    for start in range(0, len(positions), ROWS_AT_A_TIME):
        yield from _marks(table.iloc[positions[start : start + ROWS_AT_A_TIME]])


def class_color(name: str) -> tuple[int, int, int]:
    """RGB of a class of ``CLASS_NAMES``."""
    return CLASS_COLORS.get(name, SET_ASIDE_COLOR)


def hex_color(rgb: tuple[int, int, int]) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _placed_positions(table: pd.DataFrame) -> Positions:
    return np.flatnonzero(table[["x", "y"]].notna().all(axis=1).to_numpy(dtype=bool))


def _marks(rows: pd.DataFrame) -> Iterator[Mark]:
    classes = [_class_name(*pair) for pair in zip(rows["status"], rows["label"], strict=True)]
    columns = (  # in the order of Mark's fields
        rows["candidate_id"].astype(str).tolist(),
        rows["uuid"].astype(str).tolist(),
        *(rows[name].astype(np.float64).tolist() for name in ("x", "y", "x_qupath", "y_qupath")),
        classes,
        *(nullable_floats(rows[name]) for name in ("score", "p_atypical", "p_hard")),
    )
    return (Mark(*values) for values in zip(*columns, strict=True))


def _class_name(status: str, label: str) -> str:
    if status == statuses.OK:
        return label
    return NON_MITOTIC if status == statuses.NON_MITOTIC else status.replace("_", " ")
