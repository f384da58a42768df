"""What a set's table says of its crops, before any pixel is read: one row a crop, whatever the layout was."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.training.readers.images import read_crops
from wsiamf.training.readers.label_table import LabelTable

logger = logging.getLogger(__name__)

N_PHASE_RATERS: Final = 2
"""AMi-Br's; the other sets have the same columns without a phase in them."""

_NAMES: Final = ("slide", "case", "group", "domain")
_NUMBERS: Final = ("x", "y", "weight", "amf", "hard")
_UNKNOWN: Final = {**dict.fromkeys(_NAMES), "x": np.nan, "y": np.nan, "weight": 1.0}


@dataclass(frozen=True)
class LabelRows:
    """The rows of a set, and how to have its crops.

    Args:
        table: As ``labels.LabelledCrops.table``.
        votes: As ``labels.LabelledCrops.votes``, of all raters.
        phases_NR: As ``labels.LabelledCrops.phases_NR``.
        read_crops: Reads all crops, (N, S, S, 3), padding painted white.
    """

    table: pd.DataFrame
    votes: pd.DataFrame
    phases_NR: NDArray[np.int64]
    read_crops: Callable[[], NDArray[np.uint8]]


def describe_rows(
    source: LabelTable,
    columns: Mapping[str, Any],
    *,
    folder: Path,
    file_column: str,
    votes: pd.DataFrame,
    majority: pd.Series[float],
    phases_NR: NDArray[np.int64] | None = None,
) -> LabelRows:
    """Put a set's columns together; its crops are files.

    Args:
        source: The set's CSV.
        columns: ``set``, ``file`` (relative to ``folder``) and what else is known of ``LabelledCrops.table``; a column, or one
            value for all rows.
        folder: Where the crops are.
        file_column: The CSV's column that ``file`` comes from, for errors.
        votes: One column a rater id.
        majority: 1 AMF, 0 NMF.
        phases_NR: Phases, -1 where none was given; None for none at all.

    Raises:
        TrainingError: Two rows name one file.
    """
    _warn_of_contradictions(source, votes, majority)
    counts = {"amf": majority, "hard": hardness(votes), "n_votes": votes.notna().sum(axis=1)}
    table = typed(pd.DataFrame({**_UNKNOWN, **columns, **counts}, index=source.cells.index))
    paths = [Path(os.path.normpath(folder / file)) for file in table["file"]]
    source.refuse(pd.Series(paths, dtype=object).duplicated(), file_column, "is the crop of an earlier row, too")
    if phases_NR is None:
        phases_NR = np.full((len(table), N_PHASE_RATERS), -1, dtype=np.int64)
    return LabelRows(table, votes, phases_NR, partial(read_crops, paths, source.path.name))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns in their order and of their types, so that sets of all layouts are alike."""
    columns: dict[str, pd.Series[Any]] = {name: table[name].astype(str) for name in ("set", "file")}
    columns |= {name: table[name].astype(object).where(table[name].notna(), None) for name in _NAMES}
    columns |= {name: table[name].astype(np.float64) for name in _NUMBERS}
    return pd.DataFrame({**columns, "n_votes": table["n_votes"].astype(np.int64)})


def hardness(votes: pd.DataFrame) -> pd.Series[float]:
    """1 where the votes present differ, 0 where they agree, NaN below two votes."""
    split = votes.max(axis=1) > votes.min(axis=1)
    return split.astype(float).where(votes.notna().sum(axis=1) >= 2)


def _warn_of_contradictions(source: LabelTable, votes: pd.DataFrame, majority: pd.Series[float]) -> None:
    # MIDOG 2025's own file has 49 rows whose majority is not that of its experts; the label as published is kept.
    share = votes.mean(axis=1)
    contradicting = int(((share > 0.5) & (majority == 0) | (share < 0.5) & (majority == 1)).sum())
    if contradicting:
        logger.warning(
            "%s: the label of %d of %d rows is not that of most votes; the label is kept.",
            source.path.name,
            contradicting,
            len(source),
        )
