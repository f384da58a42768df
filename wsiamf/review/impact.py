"""Which figures a reader should see for certain: what an answer is likely to change, where it changes most.

``impact = difficulty x effect``. The *difficulty* of a figure is the mean of three numbers in [0, 1], missing ones left out:
twice the probability that the model's call is wrong (``p_atypical`` where the call is NMF, ``1 - p_atypical`` where it is AMF;
at most 1), twice the probability that two experts disagree about it (``summary.ranking.pair_disagreement``), and ``p_hard``.
The *effect* is how far another answer moves the slide's result, in standard errors of that result: one figure of n moves an
AMF fraction by 1/n, whose standard error falls as 1/sqrt(n), so the effect on the slide's is 1/sqrt(n); inside the first
hotspot, which holds h figures, 1/sqrt(h) is added, and half of the sum taken. A slide of few figures weighs more, since there
an error of the model is not averaged out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF
from wsiamf.summary.ranking import expert_columns_in, pair_disagreement

Floats = NDArray[np.float64]


def impact(figures: pd.DataFrame) -> Floats:
    """Expected effect of an answer on a slide's result.

    Args:
        figures: Of ``figures.load_figures``.

    Returns:
        (N,) in [0, 1], higher for those to be looked at first; rounded, so that equal figures tie.
    """
    return (difficulty(figures) * effect(figures)).round(12)


def difficulty(figures: pd.DataFrame) -> Floats:
    """(N,) in [0, 1]: how unsure the answer is, by what the model says of error, of experts and of hardness."""
    p_atypical = figures["p_atypical"].to_numpy(dtype=np.float64)
    wrong = np.where(figures["label"].to_numpy() == AMF, 1 - p_atypical, p_atypical)
    terms = [np.minimum(2 * wrong, 1), _disagreement(figures), figures["p_hard"].to_numpy(dtype=np.float64)]
    stacked = np.column_stack(terms)
    known = ~np.isnan(stacked)
    mean = np.where(known, stacked, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.asarray(mean, dtype=np.float64)


def effect(figures: pd.DataFrame) -> Floats:
    """(N,) in (0, 1]: how many standard errors of the slide's results one changed answer moves them."""
    of_slide = _number_alike(figures["slide_id"])
    inside = figures["in_hotspot"].fillna(value=False).to_numpy(dtype=bool)
    of_hotspot = _number_alike(figures["slide_id"].where(inside))
    return (of_slide**-0.5 + np.where(inside, of_hotspot, np.inf) ** -0.5) / 2


def _disagreement(figures: pd.DataFrame) -> Floats:
    names = expert_columns_in(figures)
    if len(names) < 2:
        return np.full(len(figures), np.nan)
    return np.minimum(2 * pair_disagreement(figures[names].to_numpy(dtype=np.float64)), 1)


def _number_alike(names: pd.Series) -> Floats:
    """Of each row how many have its name; NaN where it has none."""
    return np.asarray(names.map(names.value_counts()), dtype=np.float64)
