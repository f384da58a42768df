"""Calibration and thresholds, fitted on figures that the weights did not see, at natural prevalence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from wsiamf.errors import TrainingError
from wsiamf.spec import Calibration, Thresholds

Floats = NDArray[np.float64]
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


def fit_thresholds(p: Floats, amf: Floats, groups: NDArray[np.str_], *, seed: int) -> Thresholds:
    """Both thresholds, each the mean over bootstrap draws of groups (bagging).

    A few hundred figures leave the maximum of balanced accuracy on a ragged plateau; the mean over draws lies in the middle
    of it and varies far less from one validation set to the next.
    """
    generator = np.random.default_rng(seed)
    names = np.unique(groups)
    balanced: list[float] = []
    count: list[float] = []
    while len(balanced) < _N_BOOTSTRAP:
        drawn = generator.choice(names, size=len(names))
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        if 0 < amf[rows].sum() < len(rows):
            balanced.append(balanced_threshold(p[rows], amf[rows]))
            count.append(count_threshold(p[rows], amf[rows]))
    return Thresholds(balanced=round(float(np.mean(balanced)), 4), count=round(float(np.mean(count)), 4))
