"""Probabilities to answers: the one place where a slide's or a crop's thresholds are applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF, NMF
from wsiamf.spec import ErrorRates

EXPERT_THRESHOLD: Final = 0.5
"""On an expert head's own probability, where the model gives no threshold for the head."""

DEFAULT_HOTSPOT_MM2: Final = 2.37
"""Ten high-power fields of 0.237 mm2 (Meuten 2016)."""


@dataclass(frozen=True)
class SummaryRules:
    """What turns a predictions table into a summary, apart from the slide.

    Args:
        threshold: On ``p_atypical``; a figure at or above it is AMF.
        threshold_name: Which one that is: ``balanced``, ``count`` or ``given``.
        hard_threshold: On ``p_hard``; a figure at or above it is hard.
        definition: Which convention says what is atypical.
        hotspot_mm2: Area of a hotspot.
        error_rates: The bundle's, for the threshold in use, one a domain.
        own_error_rates: Measured on the user's own material at the threshold in use.
        experts: Rater ids, in the order of the table's expert columns.
        expert_thresholds: On each expert head's own probability, in the same order; empty for 0.5.
        seed: Of the bootstrap.
    """

    threshold: float
    threshold_name: str
    hard_threshold: float
    definition: str
    hotspot_mm2: float = DEFAULT_HOTSPOT_MM2
    error_rates: tuple[ErrorRates, ...] = ()
    own_error_rates: ErrorRates | None = None
    experts: tuple[str, ...] = ()
    expert_thresholds: tuple[float, ...] = ()
    seed: int = 0

    @property
    def expert_cut_offs(self) -> tuple[float, ...]:
        """One a head: ``expert_thresholds``, or 0.5 each."""
        return self.expert_thresholds or (EXPERT_THRESHOLD,) * len(self.experts)


def apply_thresholds(table: pd.DataFrame, *, threshold: float, hard_threshold: float) -> pd.DataFrame:
    """Set ``label`` and ``hard`` from the probabilities; where a probability is null the answer is null.

    Args:
        table: With ``p_atypical`` and ``p_hard``.
        threshold: On ``p_atypical``: AMF at or above it, else NMF.
        hard_threshold: On ``p_hard``: hard at or above it.

    Returns:
        A copy of the table.
    """
    p_atypical, p_hard = column_of_floats(table, "p_atypical"), column_of_floats(table, "p_hard")
    label = pd.Series(np.where(p_atypical >= threshold, AMF, NMF), index=table.index, dtype="str")
    hard = pd.Series(p_hard >= hard_threshold, index=table.index, dtype="boolean")
    return table.assign(label=label.mask(np.isnan(p_atypical)), hard=hard.mask(np.isnan(p_hard)))


def column_of_floats(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column of numbers, null as NaN, whatever pandas holds it in."""
    return pd.to_numeric(table[name]).to_numpy(dtype=np.float64, na_value=np.nan)
