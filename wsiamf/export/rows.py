"""Rows of the predictions table as typed values, read one by one; null is None, never NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wsiamf.predictions import expert_columns
from wsiamf.statuses import OK

REASON_SEPARATOR = "; "


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

    @property
    def sort_key(self) -> tuple[float, int]:
        """By review rank, rows without one last; then by the order of the table."""
        return (math.inf if self.rank is None else self.rank, self.position)


def counted_positions(table: pd.DataFrame) -> list[int]:
    """Places (from 0) of the rows that count, in the order of the table."""
    positions: list[int] = np.flatnonzero((table["status"] == OK).to_numpy(dtype=bool)).tolist()
    return positions


def counted_figures(table: pd.DataFrame, n_experts: int) -> Iterator[Figure]:
    """The rows that count, in the order of the table.

    Args:
        table: The predictions table.
        n_experts: Number of its expert columns.
    """
    positions = counted_positions(table)
    counted = table.iloc[positions]
    experts = [nullable_floats(counted[name]) for name in expert_columns(n_experts)]
    columns = (  # in the order of Figure's fields
        positions,
        counted["candidate_id"].astype(str).tolist(),
        counted["uuid"].astype(str).tolist(),
        counted["source_row"].astype(np.int64).tolist(),
        counted["x_qupath"].astype(np.float64).tolist(),
        counted["y_qupath"].astype(np.float64).tolist(),
        nullable_floats(counted["score"]),
        counted["p_atypical"].astype(np.float64).tolist(),
        nullable_floats(counted["p_hard"]),
        list(zip(*experts, strict=True)) if experts else [()] * len(positions),
        counted["label"].astype(str).tolist(),
        truths(counted["hard"]),
        [None if rank is None else int(rank) for rank in nullable_floats(counted["review_rank"])],
        [reason if isinstance(reason, str) else None for reason in counted["review_reason"]],
    )
    return (Figure(*values) for values in zip(*columns, strict=True))


def nullable_floats(column: pd.Series) -> list[float | None]:
    """A column of numbers, null as None, whatever pandas holds them in."""
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan).tolist()
    return [value if math.isfinite(value) else None for value in values]


def truths(column: pd.Series) -> list[bool]:
    """A column of yes and no, null as no."""
    flags: list[bool] = column.astype("boolean").fillna(value=False).to_numpy(dtype=bool).tolist()
    return flags
