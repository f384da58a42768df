"""Which figures a reader should see for certain: what an answer is likely to change, where it changes most.

``impact = difficulty x effect``. The *difficulty* of a figure is the score behind its ``review_rank`` (``summary.ranking``):
hardness, disagreement of the expert heads, nearness to the cut-off, pairs, quality. The *effect* is how far another answer
moves the slide's result, in standard errors of that result: one figure of n moves an AMF fraction by 1/n, whose standard error
falls as 1/sqrt(n), so the effect on the slide's is 1/sqrt(n); inside the first hotspot, which holds h figures, 1/sqrt(h) is
added, and half of the sum taken. A slide of few figures weighs more, since there an error of the model is not averaged out;
from n = 10 down it weighs no more than one of ten, since fewer figures make no fraction that anybody should use.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.summary.slide_summary import FEW

Floats = NDArray[np.float64]


def impact(figures: pd.DataFrame) -> Floats:
    """Expected effect of an answer on a slide's result.

    Args:
        figures: Of ``figures.load_figures``.

    Returns:
        (N,) in [0, 1], higher for those to be looked at first; rounded, so that equal figures tie.
    """
    difficulty = figures["review_score"].to_numpy(dtype=np.float64)
    return np.asarray((difficulty * effect(figures)).round(12), dtype=np.float64)


def effect(figures: pd.DataFrame) -> Floats:
    """(N,) in (0, 1]: how many standard errors of the slide's results one changed answer moves them."""
    of_slide = _number_alike(figures["slide_id"])
    inside = figures["in_hotspot"].fillna(value=False).to_numpy(dtype=bool)
    of_hotspot = _number_alike(figures["slide_id"].where(inside))
    return (of_slide**-0.5 + np.where(inside, of_hotspot, np.inf) ** -0.5) / 2


def _number_alike(names: pd.Series) -> Floats:
    """Of each row how many have its name, ten at least; NaN where it has none."""
    return np.asarray(names.map(names.value_counts().clip(lower=FEW)), dtype=np.float64)
