"""Calibration and thresholds, fitted on figures that the weights did not see, at natural prevalence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from wsiamf.errors import TrainingError
from wsiamf.spec import Calibration, Thresholds

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Rule = Callable[[Floats, Floats], float]
"""Probabilities and truths (1 or 0) to a threshold."""

_N_BOOTSTRAP = 500
_DECIMALS = 6


@dataclass(frozen=True)
class Decision:
    """How logits become calibrated probabilities and these become labels.

    Args:
        calibration: Of ``p_atypical``.
        hardness_calibration: Of ``p_hard``.
        thresholds: All cut-offs.
    """

    calibration: Calibration
    hardness_calibration: Calibration
    thresholds: Thresholds

    @property
    def spec_fields(self) -> dict[str, Calibration | Thresholds]:
        """The fields of ``ModelSpec`` that it decides."""
        return {
            "calibration": self.calibration,
            "hardness_calibration": self.hardness_calibration,
            "thresholds": self.thresholds,
        }


def fit_decision(
    *,
    z: Floats,
    p_experts_NK: Floats,
    votes_NK: Floats,
    amf: Floats,
    z_hard: Floats,
    hard: Floats,
    groups: NDArray[np.str_],
    seed: int,
) -> Decision:
    """Fit calibration and thresholds on figures that the network did not see.

    Args:
        z: Logit of the mean of the expert heads' probabilities, (N,).
        p_experts_NK: Each head's probability of AMF.
        votes_NK: What each head's rater said: 1, 0 or NaN.
        amf: 1 AMF, 0 NMF, (N,).
        z_hard: Logit of the hardness head, (N,); NaN where there is no such head.
        hard: 1 the raters disagreed, 0 they agreed, NaN unknown, (N,).
        groups: What is resampled whole: slides or cases, (N,).
        seed: Of the bootstrap that thresholds are averaged over.

    Raises:
        TrainingError: One class is missing, or z falls as AMF grows likelier.
    """
    # All that is fitted is rounded here, so that what is measured is what is stored.
    calibration = _rounded(fit_calibration(z, amf))
    p = expit(calibration.a * z + calibration.b)
    count = bagged_threshold(count_threshold, p, amf, groups, seed=seed)
    hardness, hard_threshold = _decide_hardness(z_hard, hard, groups, seed)
    implied = float(expit((logit(np.clip(count, 1e-6, 1 - 1e-6)) - calibration.b) / calibration.a))
    thresholds = Thresholds(
        balanced=prevalence_threshold(amf),
        count=count,
        hard=hard_threshold,
        experts=_expert_thresholds(p_experts_NK, votes_NK, groups, implied, seed),
    )
    return Decision(calibration, hardness, thresholds)


def decided_p_atypical(z: Floats, decision: Decision) -> Floats:
    """Calibrated probability of AMF, (N,)."""
    p: Floats = expit(decision.calibration.a * z + decision.calibration.b)
    return p


def decided_p_hard(z_hard: Floats, decision: Decision) -> Floats:
    """Calibrated probability that experts disagree, (N,); NaN where there is no hardness head."""
    p: Floats = expit(decision.hardness_calibration.a * z_hard + decision.hardness_calibration.b)
    return p


def _decide_hardness(z_hard: Floats, hard: Floats, groups: NDArray[np.str_], seed: int) -> tuple[Calibration, float]:
    """Calibration of ``p_hard``, and the cut-off that calls as many figures hard as experts split on."""
    if np.isnan(z_hard).all():
        return Calibration(), 0.5
    calibration = _rounded(fit_hardness_calibration(z_hard, hard))
    if calibration.a == 0:
        return calibration, 0.5
    known = ~np.isnan(hard)
    p_hard = expit(calibration.a * z_hard[known] + calibration.b)
    return calibration, bagged_threshold(count_threshold, p_hard, hard[known], groups[known], seed=seed)


def _expert_thresholds(
    p_experts_NK: Floats, votes_NK: Floats, groups: NDArray[np.str_], implied: float, seed: int
) -> tuple[float, ...]:
    """Each head's own cut: as many called AMF as its rater called so; where the rater saw none, the cut ``count`` implies."""
    cuts = []
    for p, votes in zip(p_experts_NK.T, votes_NK.T, strict=True):
        known = ~np.isnan(votes)
        told = 0 < votes[known].sum() < known.sum()
        cuts.append(
            bagged_threshold(count_threshold, p[known], votes[known], groups[known], seed=seed)
            if told
            else round(implied, 4)
        )
    return tuple(cuts)


def _rounded(calibration: Calibration) -> Calibration:
    return Calibration(a=round(calibration.a, _DECIMALS), b=round(calibration.b, _DECIMALS))


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


def prevalence_threshold(amf: Floats) -> float:
    """The share of AMF, which is the ``balanced`` threshold on calibrated probabilities, to four decimals.

    A figure adds p / P(AMF) to the expected sensitivity where it is called AMF and (1 - p) / P(NMF) to the expected specificity
    where it is not, so that balanced accuracy is highest where figures of p >= P(AMF) are called AMF. On 150 to 2,400 figures
    of two networks' scores on AMi-Br and AtNorM-MD it varied half as much as the empirical maximum averaged over bootstrap
    draws and stayed within 0.004 of the best balanced accuracy (that one within 0.011); carried from AMi-Br to AtNorM-MD it
    was 0.001 and 0.012 better.
    """
    return round(float(amf.mean()), 4)


def count_threshold(p: Floats, amf: Floats) -> float:
    """The threshold at which as many figures are called AMF as are AMF, so that false positives equal false negatives."""
    n_amf = int(amf.sum())
    descending = np.sort(p)[::-1]
    below = descending[n_amf] if n_amf < len(p) else 0.0
    return float((descending[n_amf - 1] + below) / 2)


def bagged_threshold(rule: Rule, p: Floats, positive: Floats, groups: NDArray[np.str_], *, seed: int) -> float:
    """The mean of a rule's threshold over bootstrap draws of groups (bagging), to four decimals: it varies less than one."""
    generator = np.random.default_rng(seed)
    names, codes = np.unique(groups, return_inverse=True)
    values: list[float] = []
    while len(values) < _N_BOOTSTRAP:
        times = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        rows = np.repeat(np.arange(len(p)), times[codes])
        if 0 < positive[rows].sum() < len(rows):
            values.append(rule(p[rows], positive[rows]))
    return round(float(np.mean(values)), 4)
