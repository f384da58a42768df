"""Calibration and thresholds, fitted on figures that the weights did not see, at natural prevalence."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from wsiamf.errors import TrainingError
from wsiamf.spec import Calibration

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Rule = Callable[[Floats, Floats], float]
"""Probabilities and truths (1 or 0) to a threshold."""

_N_BOOTSTRAP = 500


def fit_calibration(z: Floats, amf: Floats) -> Calibration:
    """Platt scaling: a, b of sigmoid(a z + b), practically unpenalised.

    Args:
        z: Logit of the mean of the expert heads' probabilities, (N,).
        amf: 1 AMF, 0 NMF, (N,).

    Raises:
        TrainingError: One class is missing, or z falls as AMF grows likelier.
    """
    if len(np.unique(amf)) < 2:
        raise TrainingError("calibration needs both AMF and NMF.")
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(z[:, None], amf)
    a, b = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if a <= 0:
        raise TrainingError("the model's logits fall as AMF grows likelier; it has learnt nothing usable.")
    return Calibration(a=a, b=b)


def fit_hardness_calibration(z: Floats, hard: Floats) -> Calibration:
    """The same for the hardness head; a = 0, that is the base rate for every figure, where the head has learnt nothing.

    Args:
        z: The hardness head's logit, (N,).
        hard: 1 the raters disagreed, 0 they agreed, NaN unknown, (N,).
    """
    known = ~np.isnan(hard)
    if len(np.unique(hard[known])) < 2:
        raise TrainingError(
            "calibrating the hardness head needs figures on which raters agree and others on which they do not."
        )
    try:
        return fit_calibration(z[known], hard[known])
    except TrainingError:
        logger.warning("the hardness head has learnt nothing; p_hard is the share of hard figures everywhere")
        return Calibration(a=0.0, b=float(logit(hard[known].mean())))


def balanced_threshold(p: Floats, amf: Floats) -> float:
    """The threshold of highest balanced accuracy (the middle of the best gap between two probabilities)."""
    order = np.argsort(-p, kind="stable")
    sorted_p = p[order]
    positives = np.cumsum(amf[order])
    negatives = np.cumsum(1 - amf[order])
    score = positives / positives[-1] - negatives / negatives[-1]
    ends = np.append(sorted_p[:-1] > sorted_p[1:], True)  # a threshold cannot fall between equal probabilities
    best = int(np.argmax(np.where(ends, score, -np.inf)))
    below = sorted_p[best + 1] if best + 1 < len(p) else 0.0
    return float((sorted_p[best] + below) / 2)


def count_threshold(p: Floats, amf: Floats) -> float:
    """The threshold at which as many figures are called AMF as are AMF, so that false positives equal false negatives."""
    n_amf = int(amf.sum())
    descending = np.sort(p)[::-1]
    below = descending[n_amf] if n_amf < len(p) else 0.0
    return float((descending[n_amf - 1] + below) / 2)


def bagged_threshold(rule: Rule, p: Floats, positive: Floats, groups: NDArray[np.str_], *, seed: int) -> float:
    """The mean of a rule's threshold over bootstrap draws of groups (bagging), to four decimals.

    A few hundred figures leave the maximum of balanced accuracy on a ragged plateau; the mean over draws lies in the middle
    of it and varies far less from one validation set to the next.
    """
    generator = np.random.default_rng(seed)
    names = np.unique(groups)
    values: list[float] = []
    while len(values) < _N_BOOTSTRAP:
        drawn = generator.choice(names, size=len(names))
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        if 0 < positive[rows].sum() < len(rows):
            values.append(rule(p[rows], positive[rows]))
    return round(float(np.mean(values)), 4)
