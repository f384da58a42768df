"""From labelled predictions to decisions: calibration and thresholds in a table's columns.

``calibration`` fits; this module knows the columns of the labelled predictions table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.errors import TrainingError
from wsiamf.training.calibration import Decision, decided_p_atypical, decided_p_hard, fit_decision

Floats = NDArray[np.float64]


def decide(table: pd.DataFrame, raters: Sequence[str], seed: int) -> Decision:
    """Fit calibration and thresholds on a labelled predictions table.

    Args:
        table: Rows that the network did not see.
        raters: The heads, in their order.
        seed: Of the bootstrap that thresholds are averaged over.

    Raises:
        TrainingError: A class is missing, or the network has learnt nothing.
    """
    votes = [f"vote_{rater}" for rater in raters]
    return fit_decision(
        z=_floats(table, "z"),
        p_experts_NK=table[[f"p_{rater}" for rater in raters]].to_numpy(dtype=np.float64),
        votes_NK=table.reindex(columns=votes).to_numpy(dtype=np.float64),
        amf=_floats(table, "amf"),
        z_hard=_floats(table, "z_hard"),
        hard=_floats(table, "hard"),
        groups=table["group"].to_numpy(dtype=str),
        seed=seed,
    )


def with_decision(table: pd.DataFrame, decision: Decision) -> pd.DataFrame:
    """The table with ``p_atypical``, ``p_hard`` and the cut-offs on them."""
    return table.assign(
        p_atypical=decided_p_atypical(_floats(table, "z"), decision),
        p_hard=decided_p_hard(_floats(table, "z_hard"), decision),
        threshold_balanced=decision.thresholds.balanced,
        threshold_count=decision.thresholds.count,
        threshold_hard=decision.thresholds.hard,
    )


def with_cross_fitted(table: pd.DataFrame, raters: Sequence[str], seed: int) -> pd.DataFrame:
    """The same, each fold's rows decided by the other folds'; of a single fold (not yet all are done) by itself."""
    folds = np.unique(table["fold"])
    if len(folds) == 1:
        return with_decision(table, decide(table, raters, seed))
    parts = []
    for fold in folds:
        held_out = (table["fold"] == fold).to_numpy()
        parts.append(with_decision(table[held_out], decide(table[~held_out], raters, seed)))
    return pd.concat(parts).loc[table.index]


def head_raters(table: pd.DataFrame) -> tuple[str, ...]:
    """Rater ids of the heads in a table (columns ``p_<set>/<rater>``)."""
    columns = [str(name) for name in table]
    raters = tuple(name.removeprefix("p_") for name in columns if name.startswith("p_") and "/" in name)
    if not raters:
        raise TrainingError("the table of labelled predictions has no head's column (p_<set>/<rater>).")
    return raters


def _floats(table: pd.DataFrame, column: str) -> Floats:
    return table[column].to_numpy(dtype=np.float64)
