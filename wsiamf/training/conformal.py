"""Cut-offs of class-conditional conformal sets, and how often the sets held the truth.

The cut-offs are quantiles of out-of-fold probabilities, class by class (Mondrian). An AMF that is exchangeable with the n that
they were fitted on lies below the k-th smallest of those with a probability of at most k / (n + 1); likewise NMF from above.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.classes import AMF, NMF
from wsiamf.errors import TrainingError
from wsiamf.spec import Conformal
from wsiamf.summary.conformal import CANNOT_TELL, conformal_sets

Floats = NDArray[np.float64]

NO_GUARANTEE: Final = (
    "Of either class at most the chosen share is called the other one, on average over figures like those that the cut-offs\n"
    "were fitted on. There is no guarantee on other material; the table says what was measured."
)

_PERCENTS: Final = range(1, 51)
_SCALE: Final = 1e6  # cut-offs keep six decimals, as the probabilities in tables
_N_BOOTSTRAP: Final = 2000


@dataclass(frozen=True)
class Coverage:
    """How conformal sets fared with the figures of one class.

    Args:
        truth: ``AMF`` or ``NMF``.
        n: Number of figures.
        covered: Share that was not called the other class; NaN where n is 0.
        interval: 95 % bootstrap interval of ``covered`` over groups.
        cannot_tell: Share of which the model could not tell.
    """

    truth: str
    n: int
    covered: float
    interval: tuple[float, float]
    cannot_tell: float


def fit_conformal(p_atypical: Floats, amf: Floats) -> Conformal:
    """Fit cut-offs for error rates of 1 % to 50 %.

    Args:
        p_atypical: Calibrated probability of AMF, (N,), of figures that neither the weights nor their calibration saw.
        amf: 1 AMF, 0 NMF, (N,).

    Raises:
        TrainingError: One class is missing.
    """
    if len(np.unique(amf)) < 2:
        raise TrainingError("conformal sets need both AMF and NMF.")
    of_amf, of_nmf = np.sort(p_atypical[amf == 1]), np.sort(1 - p_atypical[amf == 0])
    return Conformal(
        n_amf=len(of_amf),
        n_nmf=len(of_nmf),
        amf_from=tuple(_lower_quantile(of_amf, percent) for percent in _PERCENTS),
        nmf_up_to=tuple(round(1 - _lower_quantile(of_nmf, percent), 6) for percent in _PERCENTS),
    )


def cross_fitted_sets(p_atypical: Floats, amf: Floats, fold_N: NDArray[np.int_], error_rate: float) -> NDArray[np.str_]:
    """``AMF``, ``NMF`` or ``cannot tell`` for each figure, (N,), by cut-offs of the other folds."""
    said = np.empty(len(p_atypical), dtype=f"<U{len(CANNOT_TELL)}")
    for fold in np.unique(fold_N):
        held_out = fold_N == fold
        fitted = fit_conformal(p_atypical[~held_out], amf[~held_out])
        said[held_out] = conformal_sets(p_atypical[held_out], fitted, error_rate)
    return said


def coverage(said: NDArray[np.str_], amf: Floats, groups: NDArray[np.str_], *, seed: int = 0) -> tuple[Coverage, ...]:
    """Measured coverage, AMF first.

    Args:
        said: ``AMF``, ``NMF`` or ``cannot tell`` for each figure, (N,).
        amf: 1 AMF, 0 NMF, (N,).
        groups: What is resampled whole: slides or cases, (N,).
        seed: Of the bootstrap.
    """
    return (
        _class_coverage(AMF, said[amf == 1], groups[amf == 1], NMF, seed),
        _class_coverage(NMF, said[amf == 0], groups[amf == 0], AMF, seed),
    )


def coverage_lines(error_rate: float, measured: Sequence[tuple[str, Sequence[Coverage]]]) -> Iterator[str]:
    """A Markdown table with one row a data set and class, and what it does not promise.

    Args:
        error_rate: What the sets were made for.
        measured: Names of data sets and their coverage.
    """
    yield f'At an error rate of {error_rate:g}, "{CANNOT_TELL}" where both classes remain possible, or neither:'
    yield ""
    yield "| data set | class | n | not called the other class | cannot tell |\n| --- | --- | --- | --- | --- |"
    for name, classes in measured:
        for one in classes:
            yield f"| {name} | {one.truth} | {one.n} | {_share_cells(one)} |"
    yield f"\n{NO_GUARANTEE}"


def _share_cells(one: Coverage) -> str:
    if not one.n:
        return "none to measure on | "
    low, high = one.interval
    return f"{one.covered:.3f} ({low:.3f} to {high:.3f}) | {one.cannot_tell:.3f}"


def _lower_quantile(ascending: Floats, percent: int) -> float:
    """The k-th smallest with k / (n + 1) at most ``percent``, rounded down; 0 where k is 0."""
    k = percent * (len(ascending) + 1) // 100
    return float(np.floor(ascending[k - 1] * _SCALE) / _SCALE) if k else 0.0


def _class_coverage(truth: str, said: NDArray[np.str_], groups: NDArray[np.str_], other: str, seed: int) -> Coverage:
    if not len(said):
        return Coverage(truth, 0, np.nan, (np.nan, np.nan), np.nan)
    covered = said != other
    interval = _bootstrap_share(covered, groups, seed)
    return Coverage(truth, len(said), float(covered.mean()), interval, float((said == CANNOT_TELL).mean()))


def _bootstrap_share(covered: NDArray[np.bool_], groups: NDArray[np.str_], seed: int) -> tuple[float, float]:
    names, codes = np.unique(groups, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), _N_BOOTSTRAP)
    shares = (drawn @ np.bincount(codes, weights=covered)) / (drawn @ np.bincount(codes))
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)
