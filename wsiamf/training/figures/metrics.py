"""Figures of a binary classifier with AMF positive, as the MIDOG 2025 track 2 evaluation defines them, and their intervals.

What p reaches its threshold is called AMF; accuracy, sensitivity, specificity, balanced accuracy and F1 look at the call, AUC,
ECE and Brier at p. Shapes: N = mitotic figures, B = sets of row weights (``resampling``), K = len(FIGURES).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.errors import TrainingError
from wsiamf.training.figures.resampling import N_DRAWS, Resampling, whole_sample

Floats = NDArray[np.float64]
Interval = tuple[float, float]
FIGURES: Final = (
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "auc",
    "f1",
    "accuracy",
    "ece",
    "brier",
    "mean_probability",
    "amf_fraction",
    "probability_excess",
)
"""In the order of ``weighted_figures``."""
N_BINS: Final = 10
"""Of the expected calibration error and the reliability plot."""
_DECIMALS: Final = 4


@dataclass(frozen=True)
class Metrics:
    """Figures at one threshold, and their 95 % bootstrap intervals over groups (slides or cases)."""

    n: int
    n_amf: int
    n_groups: int
    threshold: float
    """The mean, where folds have their own."""
    balanced_accuracy: float
    sensitivity: float
    specificity: float
    auc: float
    f1: float
    accuracy: float
    ece: float
    brier: float
    mean_probability: float
    amf_fraction: float
    probability_excess: float
    """``mean_probability`` - ``amf_fraction``."""
    intervals: Mapping[str, Interval]
    """By the figure's name."""

    @property
    def balanced_accuracy_interval(self) -> Interval:
        """95 % interval."""
        return self.intervals["balanced_accuracy"]

    @property
    def auc_interval(self) -> Interval:
        """95 % interval."""
        return self.intervals["auc"]

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four decimals; each figure's interval stands behind it as ``<name>_interval``."""
        fields: dict[str, Any] = {"n": self.n, "n_amf": self.n_amf, "n_groups": self.n_groups}
        fields["threshold"] = round(self.threshold, _DECIMALS)
        for name in FIGURES:
            fields[name] = round(getattr(self, name), _DECIMALS)
            fields[f"{name}_interval"] = [round(limit, _DECIMALS) for limit in self.intervals[name]]
        return fields


def evaluate(
    p: Floats,
    amf: Floats,
    groups: NDArray[Any],
    threshold: float | Floats,
    *,
    seed: int = 0,
    n_bootstrap: int = N_DRAWS,
) -> Metrics:
    """All figures of one set of predictions.

    Args:
        p: Calibrated probability of AMF, (N,).
        amf: 1 AMF, 0 NMF, (N,).
        groups: What is resampled whole: slides or cases, (N,).
        threshold: p >= threshold is called AMF; one for all, or each figure's own, (N,).
        seed: Of the bootstrap.
        n_bootstrap: Draws.

    Raises:
        TrainingError: There is no AMF, or no NMF.
    """
    if lacking := missing_class(amf):
        raise TrainingError(f"{lacking} among {len(amf)} figures: balanced accuracy and AUC need both AMF and NMF.")
    threshold_N = np.broadcast_to(threshold, p.shape)
    values, limits = figures_with_intervals(p, amf, threshold_N, Resampling(groups, seed=seed, n_draws=n_bootstrap))
    return Metrics(
        n=len(p),
        n_amf=int(amf.sum()),
        n_groups=len(np.unique(groups)),
        threshold=float(threshold_N.mean()),
        **{name: float(value) for name, value in zip(FIGURES, values, strict=True)},
        intervals={name: (float(low), float(high)) for name, low, high in zip(FIGURES, *limits, strict=True)},
    )


def figures_with_intervals(
    p: Floats, amf: Floats, threshold_N: Floats, resampling: Resampling
) -> tuple[Floats, Floats]:
    """Every one of ``FIGURES``, (K,), and its limits, (2, K); NaN where a class is missing that it needs."""

    def statistic(weights_BN: Floats) -> Floats:
        return weighted_figures(p, amf, threshold_N, weights_BN)

    return statistic(whole_sample(len(p)))[0], resampling.interval(statistic)


def missing_class(amf: Floats) -> str:
    """``no AMF`` or ``no NMF`` where one class is missing, else nothing."""
    if not amf.any():
        return "no AMF"
    return "no NMF" if amf.all() else ""


def weighted_figures(p: Floats, amf: Floats, threshold_N: Floats, weights_BN: Floats) -> Floats:
    """``FIGURES`` of weighted rows, (B, K); NaN where a class is missing that a figure needs."""
    called = (p >= threshold_N).astype(np.float64)
    parts = (amf, 1 - amf, called * amf, called * (1 - amf), (p - amf) ** 2, p)
    n_amf, n_nmf, true_amf, false_amf, squares, sum_p = (weights_BN @ np.stack(parts, axis=1)).T
    n = n_amf + n_nmf
    sensitivity, specificity = ratio(true_amf, n_amf), ratio(n_nmf - false_amf, n_nmf)
    figures = (
        (sensitivity + specificity) / 2,
        sensitivity,
        specificity,
        weighted_auc(p, amf, weights_BN),
        ratio(2 * true_amf, n_amf + true_amf + false_amf),
        ratio(true_amf + n_nmf - false_amf, n),
        _weighted_ece(p, amf, weights_BN),
        ratio(squares, n),
        ratio(sum_p, n),
        ratio(n_amf, n),
        ratio(sum_p, n) - ratio(n_amf, n),
    )
    return np.stack(figures, axis=1)


def weighted_balanced_accuracy(called: NDArray[np.bool_], amf: Floats, weights_BN: Floats) -> Floats:
    """Balanced accuracy of calls on weighted rows, (B,); NaN where a class is missing."""
    parts = np.stack([amf, 1 - amf, called * amf, ~called * (1 - amf)], axis=1)
    n_amf, n_nmf, true_amf, true_nmf = (weights_BN @ parts).T
    return (ratio(true_amf, n_amf) + ratio(true_nmf, n_nmf)) / 2


def weighted_auc(score: Floats, positive: Floats, weights_BN: Floats) -> Floats:
    """Area under the ROC curve (Mann-Whitney, ties count half) of weighted rows, (B,); NaN where a class is missing."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))  # first row of each distinct score
    weights = weights_BN[:, order]
    positives = np.add.reduceat(weights * positive[order], starts, axis=1)
    negatives = np.add.reduceat(weights * (1 - positive[order]), starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    return ratio((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))


def _weighted_ece(p: Floats, amf: Floats, weights_BN: Floats) -> Floats:
    in_bin = probability_bins(p)[:, None] == np.arange(N_BINS)
    gaps = weights_BN @ ((p - amf)[:, None] * in_bin)
    return ratio(np.abs(gaps).sum(axis=1), weights_BN.sum(axis=1))


def probability_bins(p: Floats) -> NDArray[np.int_]:
    """Which of ten bins of equal width each probability falls in, (N,), 0..9."""
    bins: NDArray[np.int_] = np.minimum((p * N_BINS).astype(np.int_), N_BINS - 1)
    return bins


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where whole is 0."""
    divided: Floats = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return divided


def balanced_accuracy(p: Floats, amf: Floats, threshold: float | Floats) -> float:
    """Mean of sensitivity and specificity."""
    return float(weighted_balanced_accuracy(p >= threshold, amf, whole_sample(len(p)))[0])


def expected_calibration_error(p: Floats, amf: Floats) -> float:
    """Mean |observed - predicted| over ten bins of equal width, weighted by their counts."""
    return float(_weighted_ece(p, amf, whole_sample(len(p)))[0])


def hardness_auc(p_hard: Floats, hard: Floats) -> float | None:
    """AUC of ``p_hard`` against the raters' disagreement (1, 0, NaN unknown); None where it cannot be told."""
    known = ~np.isnan(hard) & ~np.isnan(p_hard)
    if not known.any():
        return None
    auc = float(weighted_auc(p_hard[known], hard[known], whole_sample(int(known.sum())))[0])
    return None if np.isnan(auc) else auc
