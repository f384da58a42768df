"""Class-conditional conformal sets: what is called AMF or NMF at a chosen error rate, and what the model cannot tell.

Of either class at most the chosen share is called the other class, on average over figures that are like those the cut-offs
were fitted on (exchangeable with them). On other material nothing is promised. Labels and counts do not depend on it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF, NMF
from wsiamf.spec import Conformal
from wsiamf.summary.thresholds import column_of_floats

CANNOT_TELL: Final = "cannot tell"
"""Both classes are in the figure's set, or neither."""

_ROUNDING: Final = 1e-9  # 0.29 * 100 is a little less than 29


def conformal_cut_offs(conformal: Conformal, error_rate: float) -> tuple[float, float]:
    """From which ``p_atypical`` on AMF is in a figure's set, and up to which NMF is.

    Args:
        conformal: The model's.
        error_rate: 0 to 1; the next lower whole per cent that the model has is taken, so that no more errors are made.
    """
    percent = min(int(error_rate * 100 + _ROUNDING), len(conformal.amf_from))
    return (conformal.amf_from[percent - 1], conformal.nmf_up_to[percent - 1]) if percent else (0.0, 1.0)


def conformal_sets(p_atypical: NDArray[np.float64], conformal: Conformal, error_rate: float) -> NDArray[np.str_]:
    """``AMF``, ``NMF`` or ``cannot tell`` for each figure, (N,); empty where its probability is NaN."""
    amf_from, nmf_up_to = conformal_cut_offs(conformal, error_rate)
    may_be_amf, may_be_nmf = p_atypical >= amf_from, p_atypical <= nmf_up_to
    conditions = [np.isnan(p_atypical), may_be_amf & ~may_be_nmf, may_be_nmf & ~may_be_amf]
    return np.select(conditions, ["", AMF, NMF], CANNOT_TELL)


def apply_conformal(table: pd.DataFrame, conformal: Conformal | None, *, error_rate: float) -> pd.DataFrame:
    """A copy of a table with the column ``conformal``; null where the probability is null or the model has no cut-offs."""
    if conformal is None:
        return table.assign(conformal=pd.Series(None, index=table.index, dtype="str"))
    said = conformal_sets(column_of_floats(table, "p_atypical"), conformal, error_rate)
    column = pd.Series(said, index=table.index, dtype="str")
    return table.assign(conformal=column.mask(column == ""))
