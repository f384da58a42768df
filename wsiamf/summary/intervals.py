"""How sure a count, a share or a density is: 95 % intervals, and what is left after the classifier's errors.

Plain functions on plain numbers. What cannot be estimated is None, never 0, NaN or an interval from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEVEL: Final = 0.95
DRAWS: Final = 10_000
"""Monte Carlo draws of the Rogan-Gladen interval."""
MAX_UNUSABLE_DRAWS: Final = 0.01
"""Share of draws in which the classifier tells nothing (sensitivity + specificity <= 1) that an interval may leave out."""

MIN_CASES: Final = 10
"""Cases that an interval of cases needs: from here on the cohort's covered 0.90 or more in every set that was measured."""
MIN_EFFECTIVE_CASES: Final = 2.0
"""Nor is one given where fewer than this bear on the figure: it would go beyond what cases drawn anew can show."""

Interval = tuple[float, float]

_TAIL: Final = (1 - LEVEL) / 2
_Z: Final = float(special.ndtri(1 - _TAIL))
_CDF_SLACK: Final = 1e-12  # rounding of the FFT must not move a quantile


def wilson(n_positive: int, n: int) -> Interval | None:
    """Wilson's 95 % score interval of a proportion.

    Args:
        n_positive: Number that have the property, of ``n``.
        n: Number looked at.

    Returns:
        (low, high) in [0, 1], or None where ``n`` is 0.

    Example:
        >>> low, high = wilson(1, 10)
        >>> f"{low:.3f} to {high:.3f}"
        '0.018 to 0.404'
    """
    if n == 0:
        return None
    return score_interval(n_positive / n, _Z**2 / n)


def score_interval(share: float, weight: float) -> Interval:
    """Wilson's score interval of a share, whatever its level and sample size.

    Args:
        share: Estimated, in [0, 1].
        weight: Squared quantile (of the normal, or of Student's t) over the sample size, which may be an effective one.

    Returns:
        (low, high) in [0, 1], the share within; its one end is the share only where that is 0 or 1.
    """
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def evenness(weights: NDArray[np.float64]) -> float:
    """(sum w)^2 / (sum w^2), Kish's effective sample size: their number where all are equal, 1 where one is all there is."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 1.0


def garwood(n: int, exposure: float) -> Interval | None:
    """Garwood's exact 95 % interval of a Poisson rate.

    Args:
        n: Number of events counted.
        exposure: What they were counted in, for example mm2.

    Returns:
        (low, high) per unit of exposure, or None where there is no exposure.
    """
    if exposure <= 0:
        return None
    low = float(special.gammaincinv(n, _TAIL)) if n else 0.0
    high = float(special.gammaincinv(n + 1, 1 - _TAIL))
    return low / exposure, high / exposure


def poisson_binomial(probabilities: ArrayLike) -> tuple[int, int] | None:
    """Central 95 % interval of how many of independent events happen, each with its own probability.

    Exact for any number of events (convolution by FFT, which rounds at about 1e-15).

    Args:
        probabilities: (n,) in [0, 1].

    Returns:
        (low, high): the least counts at which the distribution function reaches 2.5 % and 97.5 %; None where n is 0.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not len(p):
        return None
    reached = np.cumsum(count_distribution(p)) + _CDF_SLACK
    low, high = np.searchsorted(reached, [_TAIL, 1 - _TAIL])
    return min(int(low), len(p)), min(int(high), len(p))


def count_distribution(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each count 0..n of independent events.

    Args:
        probabilities: (n,) in [0, 1].

    Returns:
        (n + 1,), summing to 1.
    """
    n = len(probabilities)
    padded = np.zeros(1 << max(0, n - 1).bit_length())
    padded[:n] = probabilities
    parts = np.column_stack([1 - padded, padded])  # one row a group of events: the distribution of its count
    while len(parts) > 1:
        length = 2 * parts.shape[1] - 1
        spectra = np.fft.rfft(parts, 1 << (length - 1).bit_length(), axis=1)
        parts = np.fft.irfft(spectra[0::2] * spectra[1::2], axis=1)[:, :length]
    return np.clip(parts[0, : n + 1], 0.0, 1.0)


@dataclass(frozen=True)
class Accuracy:
    """How often a classifier is right, and on how many figures that was measured.

    Args:
        sensitivity: Share of the ``n_positive`` called positive.
        specificity: Share of the ``n_negative`` called negative.
        n_positive, n_negative: Numbers of figures of either truth.
    """

    sensitivity: float
    specificity: float
    n_positive: int
    n_negative: int

    @property
    def informative(self) -> bool:
        """Whether a positive call is likelier for a positive than for a negative; without that nothing can be corrected."""
        return self.sensitivity + self.specificity > 1


def rogan_gladen(share: float, accuracy: Accuracy) -> float | None:
    """The true share behind an observed one (Rogan and Gladen 1978), unclipped: it may leave [0, 1].

    Args:
        share: Share called positive, in [0, 1].
        accuracy: The classifier's.

    Returns:
        The corrected share, or None where the classifier is not informative.
    """
    if not accuracy.informative:
        return None
    return (share + accuracy.specificity - 1) / (accuracy.sensitivity + accuracy.specificity - 1)


def rogan_gladen_interval(n_positive: int, n: int, accuracy: Accuracy, *, seed: int) -> Interval | None:
    """95 % interval of the corrected share from the sampling of figures *and* the uncertainty of both rates.

    A parametric bootstrap from the counts: share, sensitivity and specificity are drawn from Beta(k + 1/2, n - k + 1/2),
    which, unlike a redrawn binomial, stays uncertain where all or none were right.

    Args:
        n_positive: Number called positive, of ``n``.
        n: Number of figures.
        accuracy: The classifier's, with the numbers it was measured on.
        seed: Of the draws; equal seeds give equal intervals.

    Returns:
        (low, high), unclipped, or None: no figures, rates measured on none, or rates too poor (more than 1 % of the draws
        have sensitivity + specificity <= 1; fewer are left out).
    """
    if not (n and accuracy.n_positive and accuracy.n_negative and accuracy.informative):
        return None
    random = np.random.default_rng(seed)
    share = _beta_draws(random, n_positive, n)
    sensitivity = _beta_draws(random, accuracy.sensitivity * accuracy.n_positive, accuracy.n_positive)
    specificity = _beta_draws(random, accuracy.specificity * accuracy.n_negative, accuracy.n_negative)
    surplus = sensitivity + specificity - 1
    usable = surplus > 0
    if np.mean(~usable) > MAX_UNUSABLE_DRAWS:
        return None
    corrected = (share + specificity - 1)[usable] / surplus[usable]
    low, high = np.quantile(corrected, [_TAIL, 1 - _TAIL]).tolist()
    return low, high


def clip_share(share: float) -> float:
    """A share brought back into [0, 1]."""
    return min(1.0, max(0.0, share))


def _beta_draws(random: np.random.Generator, n_positive: float, n: int) -> NDArray[np.float64]:
    return random.beta(n_positive + 0.5, n - n_positive + 0.5, DRAWS)
