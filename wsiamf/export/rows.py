"""Rows of the predictions table as typed values, read a few thousand at a time; null is None, never NaN.

Values of Python take ten times the memory of a column's: no more of them are alive at once than ``ROWS_AT_A_TIME`` rows
hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.predictions import expert_columns
from wsiamf.statuses import OK

REASON_SEPARATOR = "; "
ROWS_AT_A_TIME: Final = 8192

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row that counts. ``position`` is its place in the table from 0; coordinates are QuPath px."""

    position: int
    candidate_id: str
    uuid: str
    source_row: int
    x_qupath: float
    y_qupath: float
    score: float | None
    p_atypical: float
    p_hard: float | None
    experts: tuple[float | None, ...]
    label: str
    hard: bool
    rank: int | None
    reason: str | None

    @property
    def expert_spread(self) -> float | None:
        """Largest minus smallest of the expert heads' probabilities; None with fewer than two."""
        known = [p for p in self.experts if p is not None]
        return max(known) - min(known) if len(known) > 1 else None

    @property
    def short_reason(self) -> str | None:
        """The first, weightiest reason for a review."""
        return self.reason.split(REASON_SEPARATOR)[0] if self.reason else None


def counted_positions(table: pd.DataFrame) -> Positions:
    """Places (from 0) of the rows that count, in the order of the table."""
    return np.flatnonzero((table["status"] == OK).to_numpy(dtype=bool))


def hard_positions(table: pd.DataFrame) -> Positions:
    """Places (from 0) of the hard cases that count: by review rank, rows without one last, then by the order of the table."""
    counted = counted_positions(table)
    hard = counted[truths(table["hard"].iloc[counted])]
    rank = pd.to_numeric(table["review_rank"].iloc[hard]).to_numpy(dtype=np.float64, na_value=np.nan)
    return hard[np.argsort(rank, kind="stable")]  # NaN is last


def figures_at(table: pd.DataFrame, positions: Positions, n_experts: int) -> Iterator[Figure]:
    """Some of the rows that count, in the order given.

    Args:
        table: The predictions table.
        positions: Places of the rows, from 0.
        n_experts: Number of its expert columns.
    """
    for start in range(0, len(positions), ROWS_AT_A_TIME):
        yield from _figures(table, positions[start : start + ROWS_AT_A_TIME], n_experts)


def _figures(table: pd.DataFrame, positions: Positions, n_experts: int) -> Iterator[Figure]:
    rows = table.iloc[positions]
    experts = [nullable_floats(rows[name]) for name in expert_columns(n_experts)]
    columns = (  # in the order of Figure's fields
        positions.tolist(),
        rows["candidate_id"].astype(str).tolist(),
        rows["uuid"].astype(str).tolist(),
        rows["source_row"].astype(np.int64).tolist(),
        rows["x_qupath"].astype(np.float64).tolist(),
        rows["y_qupath"].astype(np.float64).tolist(),
        nullable_floats(rows["score"]),
        rows["p_atypical"].astype(np.float64).tolist(),
        nullable_floats(rows["p_hard"]),
        list(zip(*experts, strict=True)) if experts else [()] * len(positions),
        rows["label"].astype(str).tolist(),
        truths(rows["hard"]).tolist(),
        [None if rank is None else int(rank) for rank in nullable_floats(rows["review_rank"])],
        [reason if isinstance(reason, str) else None for reason in rows["review_reason"].tolist()],
    )
    return (Figure(*values) for values in zip(*columns, strict=True))


def nullable_floats(column: pd.Series) -> list[float | None]:
    """A column of numbers, null as None, whatever pandas holds them in."""
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan).tolist()
    return [value if math.isfinite(value) else None for value in values]


def truths(column: pd.Series) -> NDArray[np.bool_]:
    """A column of yes and no, null as no."""
    return np.asarray(column.astype("boolean").fillna(value=False).to_numpy(dtype=bool))
