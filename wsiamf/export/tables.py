"""``hard_cases.csv``: the worklist of hard cases, the first to look at on top."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa

from wsiamf.export.rows import ROWS_AT_A_TIME, hard_positions, nullable_floats, truths
from wsiamf.files import atomic_file
from wsiamf.predictions import write_csv
from wsiamf.summary.ranking import expert_columns_in

_PLACE_COLUMNS: Final = ("x", "y", "x_um", "y_um", "x_qupath", "y_qupath")
_PLACE_DECIMALS: Final = 2
_VALUE_DECIMALS: Final = 4


def write_hard_cases(path: Path, table: pd.DataFrame) -> None:
    """Write the hard cases that count, by review rank, as CSV; a null is an empty cell.

    Columns: ``rank``, ``candidate_id``, ``uuid`` (the detection's), ``x``, ``y``, ``x_um``, ``y_um``, ``x_qupath``,
    ``y_qupath`` (two decimals), ``label``, ``p_atypical``, ``p_hard``, ``p_atypical_expert_1..K``, ``score`` (four
    decimals), ``reason``, ``in_hotspot``.

    Args:
        path: The CSV file.
        table: The predictions table, ranked.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_file(path) as temporary:
        write_csv(_arrow_tables(table), temporary)


def _arrow_tables(table: pd.DataFrame) -> Iterator[pa.Table]:
    """The hard cases in parts, one at least."""
    positions = hard_positions(table)
    for start in range(0, max(1, len(positions)), ROWS_AT_A_TIME):
        yield _arrow_table(table.iloc[positions[start : start + ROWS_AT_A_TIME]])


def _arrow_table(hard: pd.DataFrame) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "rank": pa.array(_ranks(hard), pa.int64()),
        "candidate_id": _texts(hard, "candidate_id"),
        "uuid": _texts(hard, "uuid"),
    }
    columns |= {name: _rounded(hard, name, _PLACE_DECIMALS) for name in _PLACE_COLUMNS}
    columns["label"] = _texts(hard, "label")
    values = ("p_atypical", "p_hard", *expert_columns_in(hard), "score")
    columns |= {name: _rounded(hard, name, _VALUE_DECIMALS) for name in values}
    columns["reason"] = _texts(hard, "review_reason")
    columns["in_hotspot"] = pa.array(truths(hard["in_hotspot"]), pa.bool_())
    return pa.table(columns)


def _ranks(hard: pd.DataFrame) -> list[int | None]:
    return [None if rank is None else int(rank) for rank in nullable_floats(hard["review_rank"])]


def _texts(hard: pd.DataFrame, name: str) -> pa.Array:
    return pa.array([value if isinstance(value, str) else None for value in hard[name]], pa.string())


def _rounded(hard: pd.DataFrame, name: str, decimals: int) -> pa.Array:
    values = [None if value is None else round(value, decimals) for value in nullable_floats(hard[name])]
    return pa.array(values, pa.float64())
