"""How far two counts of the same things agree. Plain functions on plain numbers; what cannot be estimated is None.

Sources: Bland and Altman, Lancet 1986;1:307-310 (bias, limits and their standard errors); Shrout and Fleiss, Psychol Bull
1979;86:420-428 (ICC(2,1) and its interval); Cohen, Psychol Bull 1968;70:213-220 (weighted kappa); Fleiss, Cohen and
Everitt, Psychol Bull 1969;72:323-327 (its standard error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from wsiamf.summary.intervals import LEVEL, Interval

Floats = NDArray[np.float64]

_TAIL: Final = (1 - LEVEL) / 2
_Z: Final = float(special.ndtri(1 - _TAIL))
MIN_PAIRS: Final = 3
"""Fewer say nothing of spread."""
AGREE_WHOLLY: Final = "the counts agree wholly"
_ROUNDING: Final = 1e-6
"""Half an interval, of which sums of shares that cancel leave less than this."""
_NO_FREEDOM: Final = "fewer than one degree of freedom"


@dataclass(frozen=True)
class BlandAltman:
    """Mean difference and the range in which 95 % of differences are expected, each with its 95 % interval.

    Args:
        bias: Mean of the differences.
        sd: Their standard deviation (n - 1).
        lower, upper: Limits of agreement, bias -/+ 1.96 sd.
        bias_interval, lower_interval, upper_interval: By Student's t.
    """

    bias: float
    sd: float
    lower: float
    upper: float
    bias_interval: Interval
    lower_interval: Interval
    upper_interval: Interval


@dataclass(frozen=True)
class Estimate:
    """A coefficient and its 95 % interval, None where the data leave it open, and then why."""

    value: float
    interval: Interval | None
    reason: str = ""


def bland_altman(differences: ArrayLike) -> BlandAltman | None:
    """Bias and limits of agreement (Bland and Altman 1986).

    The standard error of the bias is sd / sqrt(n), that of a limit sqrt(3 / n) sd. The differences are taken as independent and
    about normal.

    Args:
        differences: (n,) one a thing counted by both.

    Returns:
        None where there are fewer than three.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < MIN_PAIRS:
        return None
    bias, sd = float(values.mean()), float(values.std(ddof=1))
    t = float(stats.t.ppf(1 - _TAIL, n - 1))
    lower, upper = bias - _Z * sd, bias + _Z * sd
    bias_half, limit_half = t * sd / n**0.5, t * (3 / n) ** 0.5 * sd
    return BlandAltman(
        bias=bias,
        sd=sd,
        lower=lower,
        upper=upper,
        bias_interval=(bias - bias_half, bias + bias_half),
        lower_interval=(lower - limit_half, lower + limit_half),
        upper_interval=(upper - limit_half, upper + limit_half),
    )


def icc_2_1(ratings: ArrayLike) -> Estimate | None:
    """ICC(2,1): absolute agreement of single raters, targets and raters both drawn at random (Shrout and Fleiss 1979).

    Args:
        ratings: (n, k) of n targets by k raters, none missing.

    Returns:
        None with fewer than three targets or two raters, or where all ratings are equal. No interval where the raters agree
        wholly, for which the formula has none, nor where Satterthwaite's degrees of freedom come out below one.
    """
    x = np.asarray(ratings, dtype=np.float64)
    n, k = x.shape
    if n < MIN_PAIRS or k < 2 or np.ptp(x) == 0:
        return None
    between_targets, between_raters, error = _mean_squares(x)
    denominator = between_targets + (k - 1) * error + k * (between_raters - error) / n
    if denominator <= 0:
        return None
    value = (between_targets - error) / denominator
    interval = _icc_interval(value, (n, k), between_targets, between_raters, error)
    return Estimate(value, None, interval) if isinstance(interval, str) else Estimate(value, interval)


def _mean_squares(x: Floats) -> tuple[float, float, float]:
    """BMS, JMS and EMS of the two-way table without replication; squares that rounding alone makes are nought."""
    n, k = x.shape
    mean, of_target, of_rater = x.mean(), x.mean(axis=1), x.mean(axis=0)
    rest = x - of_target[:, np.newaxis] - of_rater[np.newaxis, :] + mean
    squares = np.array([k * ((of_target - mean) ** 2).sum(), n * ((of_rater - mean) ** 2).sum(), (rest**2).sum()])
    squares[squares < np.finfo(float).eps * (x**2).sum()] = 0.0
    return tuple((squares / (n - 1, k - 1, (n - 1) * (k - 1))).tolist())


def _icc_interval(
    value: float, shape: tuple[int, int], between_targets: float, between_raters: float, error: float
) -> Interval | str:
    """The interval, or why there is none."""
    n, k = shape
    if error == 0:
        return AGREE_WHOLLY if between_raters == 0 else "no error variance: the raters differ by a constant"
    ratio = between_raters / error
    weight = n * (1 + (k - 1) * value) - k * value
    denominator = (n - 1) * k**2 * value**2 * ratio**2 + weight**2
    if denominator == 0:
        return _NO_FREEDOM
    freedom = (k - 1) * (n - 1) * (k * value * ratio + weight) ** 2 / denominator
    if freedom < 1:  # the quantile of F falls below 1 there, and the interval beside the value
        return _NO_FREEDOM
    f_low, f_high = stats.f.ppf(1 - _TAIL, n - 1, freedom), stats.f.ppf(1 - _TAIL, freedom, n - 1)
    shared = k * between_raters + (k * n - k - n) * error
    low = n * (between_targets - f_low * error) / (f_low * shared + n * between_targets)
    high = n * (f_high * between_targets - error) / (shared + n * f_high * between_targets)
    return (float(low), float(high)) if np.isfinite([low, high]).all() else _NO_FREEDOM


def weighted_kappa(table: ArrayLike, *, power: int = 2) -> Estimate | None:
    """Weighted kappa (Cohen 1968) with the large-sample interval of Fleiss, Cohen and Everitt (1969).

    Args:
        table: (m, m) number of things that one rater put in band i and the other in band j, the bands in order.
        power: 1 for linear weights, 2 for quadratic ones: a disagreement of d bands weighs d ** power.

    Returns:
        None with fewer than three things, or where both raters use one band alone.
    """
    counts = np.asarray(table, dtype=np.float64)
    n, m = counts.sum(), len(counts)
    if n < MIN_PAIRS or m < 2:
        return None
    p = counts / n
    apart = np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    weights = 1 - (apart / (m - 1)) ** power
    of_row, of_column = p.sum(axis=1), p.sum(axis=0)
    observed, by_chance = float((weights * p).sum()), float(of_row @ weights @ of_column)
    if np.isclose(by_chance, 1.0):
        return None
    if not (counts - np.diag(np.diag(counts))).any():
        return Estimate(1.0, None, AGREE_WHOLLY)
    kappa = (observed - by_chance) / (1 - by_chance)
    mean_weights = np.add.outer(weights @ of_column, of_row @ weights)
    spread = float((p * (weights - mean_weights * (1 - kappa)) ** 2).sum())
    variance = (spread - (kappa - by_chance * (1 - kappa)) ** 2) / (n * (1 - by_chance) ** 2)
    half = _Z * max(0.0, float(variance)) ** 0.5
    if half < _ROUNDING:
        return Estimate(kappa, None, "the large-sample variance is nought")
    return Estimate(kappa, (kappa - half, min(1.0, kappa + half)))
