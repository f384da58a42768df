"""Figures of a binary classifier with AMF positive, as the MIDOG 2025 track 2 evaluation defines them, and their intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.float64]
_ECE_BINS = 10


@dataclass(frozen=True)
class Metrics:
    """Figures at one threshold; ``*_interval`` are 95 % bootstrap intervals over groups (slides)."""

    n: int
    n_amf: int
    n_groups: int
    threshold: float
    balanced_accuracy: float
    balanced_accuracy_interval: tuple[float, float]
    sensitivity: float
    specificity: float
    auc: float
    auc_interval: tuple[float, float]
    ece: float
    brier: float
    mean_probability: float
    amf_fraction: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four decimals."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(float(item), 4) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value


def sensitivity_specificity(p: Floats, amf: Floats, threshold: float) -> tuple[float, float]:
    """Share of AMF with p >= threshold, and of NMF with p < threshold."""
    called = p >= threshold
    return float(called[amf == 1].mean()), float((~called)[amf == 0].mean())


def balanced_accuracy(p: Floats, amf: Floats, threshold: float) -> float:
    """Mean of sensitivity and specificity."""
    return sum(sensitivity_specificity(p, amf, threshold)) / 2


def expected_calibration_error(p: Floats, amf: Floats) -> float:
    """Mean |observed - predicted| over ten bins of equal width, weighted by their counts."""
    bins = np.minimum((p * _ECE_BINS).astype(int), _ECE_BINS - 1)
    gaps = [
        abs(float(amf[bins == b].mean() - p[bins == b].mean())) * float((bins == b).mean()) for b in np.unique(bins)
    ]
    return float(sum(gaps))


def hardness_auc(p_hard: Floats, hard: Floats) -> float | None:
    """AUC of ``p_hard`` against the raters' disagreement (1, 0, NaN unknown); None where it cannot be told."""
    known = ~np.isnan(hard) & ~np.isnan(p_hard)
    return float(roc_auc_score(hard[known], p_hard[known])) if len(np.unique(hard[known])) == 2 else None


def evaluate(
    p: Floats, amf: Floats, groups: NDArray[Any], threshold: float, *, seed: int = 0, n_bootstrap: int = 2000
) -> Metrics:
    """All figures of one set of predictions.

    Args:
        p: Calibrated probability of AMF, (N,).
        amf: 1 AMF, 0 NMF, (N,).
        groups: What is resampled whole: slides or cases, (N,).
        threshold: p >= threshold is called AMF.
    """
    sensitivity, specificity = sensitivity_specificity(p, amf, threshold)
    samples = _bootstrap(p, amf, groups, threshold, seed=seed, n_bootstrap=n_bootstrap)
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    return Metrics(
        n=len(p),
        n_amf=int(amf.sum()),
        n_groups=len(np.unique(groups)),
        threshold=threshold,
        balanced_accuracy=(sensitivity + specificity) / 2,
        balanced_accuracy_interval=(float(low[0]), float(high[0])),
        sensitivity=sensitivity,
        specificity=specificity,
        auc=float(roc_auc_score(amf, p)),
        auc_interval=(float(low[1]), float(high[1])),
        ece=expected_calibration_error(p, amf),
        brier=float(np.mean((p - amf) ** 2)),
        mean_probability=float(p.mean()),
        amf_fraction=float(amf.mean()),
    )


def _bootstrap(
    p: Floats, amf: Floats, groups: NDArray[Any], threshold: float, *, seed: int, n_bootstrap: int
) -> NDArray[np.float64]:
    """(n_bootstrap, 2): balanced accuracy and AUC of resampled groups; draws without both classes are drawn again."""
    generator = np.random.default_rng(seed)
    names, codes = np.unique(groups, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    samples: list[tuple[float, float]] = []
    while len(samples) < n_bootstrap:
        drawn = generator.integers(len(names), size=len(names))
        rows = np.concatenate([members[k] for k in drawn])
        if 0 < amf[rows].sum() < len(rows):
            samples.append((balanced_accuracy(p[rows], amf[rows], threshold), float(roc_auc_score(amf[rows], p[rows]))))
    return np.array(samples)
