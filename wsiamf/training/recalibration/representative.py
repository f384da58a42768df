"""Are labelled figures a sample of what slides hold, or were they picked for being hard?

Calibration and error rates from hard cases alone are wrong for a slide, most of whose figures are easy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd

from wsiamf.errors import TrainingError
from wsiamf.spec import ModelSpec
from wsiamf.training.readers.label_table import LabelTable

logger = logging.getLogger(__name__)

_REFUSED_FROM: Final = 0.9
"""Of a whole slide's figures 10 to 30 % are hard by any of the signs below; of a worklist of hard cases all are."""
_DOUBTED_FROM: Final = 0.5
_MIN_KNOWN: Final = 0.5  # a sign that fewer of the figures carry says nothing of the set
_TRUE_WORDS: Final = frozenset({"true", "1", "yes", "hard"})


def picked_as_hard(labels: LabelTable) -> dict[str, float]:
    """Share of a manifest's rows that it marks as hard cases, by what marks them.

    A column ``hard`` does (as in ``predictions.csv``), and so do filled columns ``rank`` and ``reason`` (``hard_cases.csv``).
    """
    rows = labels.cells
    signs: dict[str, float] = {}
    if "hard" in rows and (rows["hard"] != "").mean() >= _MIN_KNOWN:
        signs["marked in the column hard"] = float(rows["hard"].str.lower().isin(_TRUE_WORDS).mean())
    if {"rank", "reason"} <= set(rows):
        signs["taken from hard_cases.csv (columns rank, reason)"] = float(
            ((rows["rank"] != "") & (rows["reason"] != "")).mean()
        )
    return signs


def check_equal_chances(labels: LabelTable) -> None:
    """Refuse labels of a review's whole worklist, in which picked figures stand beside figures drawn at random.

    Args:
        labels: A manifest; ``wsiamf review export`` gives it a column ``inclusion_probability``, empty for figures that nobody
            drew.

    Raises:
        TrainingError: The figures were not drawn with one probability.
    """
    chances = set(labels.cells.get("inclusion_probability", pd.Series(dtype=str)))
    if len(chances) > 1:
        raise TrainingError(
            f"{labels.path}: these figures were not drawn with one probability (column inclusion_probability), so that "
            "calibration and error rates of these would be wrong for a slide; `wsiamf review export --random-only` writes "
            "those that were."
        )


def check_representative(table: pd.DataFrame, spec: ModelSpec, marked: Mapping[str, float]) -> float:
    """Refuse labelled figures that are hard cases only; warn where most of them are.

    Args:
        table: Labelled predictions with ``hard`` (the raters') and ``p_hard``, as the model calibrates it.
        spec: The model; its cut-off on ``p_hard`` is what puts a figure into ``hard_cases.csv``.
        marked: What ``picked_as_hard`` found.

    Returns:
        The largest share of hard cases by any sign.

    Raises:
        TrainingError: Nine in ten are hard.
    """
    shares = {**marked, **dict(_signs(table, spec))}
    if not shares:
        return 0.0
    sign, share = max(shares.items(), key=lambda item: item[1])
    text = f"{share:.0%} of the labelled figures are hard cases ({sign})"
    remedy = "label figures drawn at random from the slides, easy ones too"
    if share >= _REFUSED_FROM:
        raise TrainingError(f"{text}: calibration and error rates of these would be wrong for a slide; {remedy}.")
    if share >= _DOUBTED_FROM:
        logger.warning(
            "%s, more than a slide holds: error rates will look worse than on whole slides; %s.", text, remedy
        )
    return share


def _signs(table: pd.DataFrame, spec: ModelSpec) -> Iterator[tuple[str, float]]:
    votes = table["hard"].dropna()
    if len(votes) >= _MIN_KNOWN * len(table):
        yield "their raters disagree", float(votes.mean())
    p_hard = table["p_hard"].to_numpy(dtype=np.float64)
    if spec.hardness_calibration.a > 0 and not np.isnan(p_hard).all():
        yield (
            f"the model's p_hard is {spec.thresholds.hard:g} or more",
            float(np.mean(p_hard >= spec.thresholds.hard)),
        )
