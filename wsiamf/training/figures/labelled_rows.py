"""What figures need of the labelled predictions table: its columns checked and read as arrays, N rows each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.errors import TrainingError

Floats = NDArray[np.float64]

THRESHOLDS: Final = ("balanced", "count", "given")
"""Cut-offs on ``p_atypical`` that a table may have a column ``threshold_<name>`` of."""
_NEEDED: Final = ("set", "file", "group", "amf", "p_atypical", "threshold_balanced", "threshold_count")
_KNOWN: Final = ("slide", "case", "domain", "hard", "n_votes", "p_hard")
_N_PARTS: Final = 5


def check_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every column that figures look at; columns that may be left out are filled with unknown.

    Raises:
        TrainingError: It has no rows, lacks a column, or a row holds what is no label or no probability; names it.
    """
    if missing := [name for name in _NEEDED if name not in table]:
        raise TrainingError(f"labelled predictions: lack the column(s) {', '.join(missing)}.")
    if table.empty:
        raise TrainingError("labelled predictions: there are no rows.")
    for name in ("amf", "p_atypical", "p_hard", "hard", *threshold_columns(table)):
        if name in table:
            _check_numbers(table[name], optional=name in _KNOWN)
    if not np.isin(column(table, "amf"), (0, 1)).all():
        raise TrainingError("labelled predictions: amf holds other values than 1 and 0.")
    return table.assign(**{name: np.nan for name in _KNOWN if name not in table}).reset_index(drop=True)


def _check_numbers(values: pd.Series[Any], *, optional: bool) -> None:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = ~numbers.between(0, 1) & ~(values.isna() & optional)
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise TrainingError(
            f"labelled predictions: {values.name}, row {row + 1}: {values.iloc[row]} is not a number from 0 to 1."
        )


def column(table: pd.DataFrame, name: str) -> Floats:
    """A column of numbers, unknown as NaN."""
    return pd.to_numeric(table[name]).to_numpy(dtype=np.float64, na_value=np.nan)


def groups(table: pd.DataFrame) -> NDArray[np.str_]:
    """What is resampled whole: cases, else slides, else crops."""
    return table["group"].to_numpy(dtype=np.str_)


def called(table: pd.DataFrame, threshold: str) -> NDArray[np.bool_]:
    """Which rows are called AMF at their own threshold of that name."""
    return column(table, "p_atypical") >= column(table, f"threshold_{threshold}")


def threshold_names(table: pd.DataFrame) -> list[str]:
    """Which of ``THRESHOLDS`` the table has."""
    return [name for name in THRESHOLDS if f"threshold_{name}" in table]


def threshold_columns(table: pd.DataFrame) -> list[str]:
    """Their columns."""
    return [f"threshold_{name}" for name in threshold_names(table)]


def domains(table: pd.DataFrame) -> pd.Series[str]:
    """Each row's domain, or ``not stated``."""
    return table["domain"].astype("object").fillna("not stated").astype(str)


def has_folds(table: pd.DataFrame) -> bool:
    """Whether the rows come from several folds."""
    return "fold" in table and len(table["fold"].unique()) > 1


def parts(table: pd.DataFrame) -> NDArray[np.int_]:
    """Numbers of parts that can judge one another: the folds, or where there are none, groups dealt out to five parts."""
    if has_folds(table):
        return table["fold"].to_numpy(dtype=np.int_)
    names, group_N = np.unique(groups(table), return_inverse=True)
    dealt = np.random.default_rng(0).permutation(len(names)) % _N_PARTS
    numbers: NDArray[np.int_] = dealt[group_N]
    return numbers


def raters(table: pd.DataFrame, prefix: str) -> list[str]:
    """Rater ids that the table has a column ``<prefix><set>/<rater>`` of: ``vote_`` of people, ``p_`` of heads."""
    return [str(name).removeprefix(prefix) for name in table if str(name).startswith(prefix) and "/" in str(name)]
