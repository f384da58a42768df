"""Estimation from a simple random sample with known totals: calibrated weights, linearised variances, intervals of shares.

Shapes: N = figures of a scope, R of them not certain, n of these sampled, Q = auxiliary variables, the constant among them.

The certain ones are known. For the others a linear working model of each wanted variable on the auxiliary ones (``p_atypical``
and the detector's score, known of all figures) assists: the generalised regression (GREG) estimator of a total is

    T = sum over certain of y  +  sum over sampled of w y,   w = d g,   d = R / n,
    g_k = 1 + (X_R - d X_s)' (d sum over sampled of x x')^-1 x_k,

X_R being the auxiliary totals over the R and X_s those over the sample: the weights w reproduce X_R. It is design-consistent
whether the model holds or not; a good one makes the residuals e = y - x'B small, and with them the variance

    V = R^2 (1 - n / R) S^2 / n,   S^2 = (sum of (g e)^2 + 1) / (n - Q).

The 1 is one pseudo-error: residuals of rare events are mostly nought, and a sample that happened to hold none of them must not
say that it knows. Of a ratio T_y / T_x the residual of (y - ratio x) / T_x stands in the place of e (linearisation). Särndal,
Swensson, Wretman, Model Assisted Survey Sampling (1992), ch. 6 and 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from wsiamf.summary.intervals import LEVEL, MIN_CASES, MIN_EFFECTIVE_CASES, Interval, evenness, score_interval

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

_TAIL: Final = (1 - LEVEL) / 2
_SAME: Final = 1e-9


@dataclass(frozen=True)
class Spread:
    """How far an estimate may be off.

    Args:
        variance: Its estimated variance.
        freedom: Degrees of freedom of the t quantile.
    """

    variance: float
    freedom: float

    @property
    def t(self) -> float:
        """97.5 % quantile of Student's t."""
        return float(special.stdtrit(self.freedom, 1 - _TAIL))

    @property
    def half_width(self) -> float:
        """Of a symmetric interval."""
        return self.t * math.sqrt(self.variance)


class Sample:
    """One scope (a cohort, a slide) with its certain figures and the random sample of its others.

    Args:
        auxiliary_NQ: Known of all figures, without the constant; columns that do not vary are left out by themselves.
        certain_N: Whether a figure's inclusion probability is 1.
        sampled_N: Whether it is in the random sample; never both.
        case_N: Number of each figure's case.
    """

    def __init__(self, auxiliary_NQ: Floats, certain_N: Flags, sampled_N: Flags, case_N: Ints) -> None:
        self.certain, self.sampled = certain_N, sampled_N
        self.n, self.n_others = int(sampled_N.sum()), int((~certain_N).sum())
        self.case = case_N
        self._x_NQ = _with_constant(auxiliary_NQ, sampled_N)
        self._g = self._calibrate()

    @property
    def complete(self) -> bool:
        """Whether every figure was looked at, so that nothing is left to estimate."""
        return self.n == self.n_others

    @property
    def weights(self) -> Floats:
        """(N,) 1 for certain figures, the calibrated weight for sampled ones, 0 for all others."""
        weights = self.certain.astype(np.float64)
        weights[self.sampled] = self.n_others / max(self.n, 1) * self._g
        return weights

    @property
    def freedom(self) -> int:
        """n - Q."""
        return self.n - int(self._x_NQ.shape[1])

    def total(self, y_N: Floats) -> float:
        """The estimated sum of a variable over the scope; values of figures that nobody looked at are not used."""
        used = self.certain | self.sampled
        return float((self.weights[used] * y_N[used]).sum())

    def possible(self, y_N: Floats) -> tuple[float, float]:
        """Least and most that the sum of a variable of 0 and 1 can be: what has been seen, and that with all the unseen."""
        used = self.certain | self.sampled
        seen = float(y_N[used].sum())
        return seen, seen + float((~used).sum())

    def fitted(self, y_N: Floats) -> Floats:
        """(N,) the variable where it is known for certain, the working model's value elsewhere."""
        return np.where(self.certain, np.where(self.certain, y_N, 0.0), self._x_NQ @ self._coefficients(y_N))

    def residuals(self, y_N: Floats) -> Floats:
        """(n,) g times the residual of each sampled figure."""
        s = self.sampled
        return self._g * (y_N[s] - self._x_NQ[s] @ self._coefficients(y_N))

    def spread(self, y_N: Floats, *, unit: float = 1.0) -> Spread:
        """The wider of two spreads of a total: of figures drawn one by one, and with residuals summed by case.

        Figures were drawn, not cases, so the first is the variance of the design. The second is wider where errors go together
        within a case, which a design-based interval need not heed and a reader may; it is taken from ten sampled cases on.

        Args:
            y_N: The variable, or a linearised one.
            unit: What a variable of 0 or 1 is multiplied by in ``y_N``: the size of the pseudo-error.
        """
        if self.complete:
            return Spread(0.0, max(self.n - 1, 1))
        residuals = self.residuals(y_N)
        left = 1 - self.n / self.n_others
        squares = float((residuals**2).sum()) + unit**2
        by_figure = Spread(self.n_others**2 * left * squares / self.freedom / self.n, self.freedom)
        n_cases, summed = self._summed_by_case(residuals)
        if n_cases < MIN_CASES:
            return by_figure
        scale = (self.n_others / self.n) ** 2 * left * n_cases / (n_cases - 1) * (self.n - 1) / self.freedom
        by_case = Spread(scale * (float(((summed - summed.mean()) ** 2).sum()) + unit**2), n_cases - 1)
        return max(by_figure, by_case, key=lambda one: one.half_width)

    def spread_of_cases(self, y_N: Floats, *, unit: float) -> Spread | None:
        """The spread of a linearised total over cases drawn anew with their figures and answers.

        Degrees of freedom are an effective number of cases less one, as in the cohort's intervals: the geometric mean of the
        evenness of their numbers of figures and of that of their squared deviations. None below ten cases or two effective
        ones.
        """
        cases = np.unique(self.case)
        if len(cases) < MIN_CASES:
            return None
        values = self.fitted(y_N)
        if self.n:
            values[self.sampled] += self.n_others / self.n * self.residuals(y_N)
        summed = np.bincount(self.case, weights=values)[cases]
        sizes = np.bincount(self.case)[cases].astype(np.float64)
        n_effective = (evenness(sizes) * evenness((summed - summed.mean()) ** 2)) ** 0.5
        if n_effective < MIN_EFFECTIVE_CASES:
            return None
        squares = float(((summed - summed.mean()) ** 2).sum()) + unit**2
        return Spread(len(cases) / (len(cases) - 1) * squares, n_effective - 1)

    def _summed_by_case(self, residuals: Floats) -> tuple[int, Floats]:
        cases = np.unique(self.case[self.sampled])
        return len(cases), np.asarray(np.bincount(self.case[self.sampled], weights=residuals)[cases], dtype=np.float64)

    def _calibrate(self) -> Floats:
        if self.n == 0:
            return np.empty(0)
        x_s, d = self._x_NQ[self.sampled], self.n_others / self.n
        missing = self._x_NQ[~self.certain].sum(axis=0) - d * x_s.sum(axis=0)
        solved = np.linalg.lstsq(d * x_s.T @ x_s, missing, rcond=None)[0]
        return np.asarray(1 + x_s @ solved, dtype=np.float64)

    def _coefficients(self, y_N: Floats) -> Floats:
        x_s = self._x_NQ[self.sampled]
        return np.asarray(np.linalg.lstsq(x_s, y_N[self.sampled], rcond=None)[0], dtype=np.float64)


def share_interval(share: float, spread: Spread, n_answers: int) -> Interval:
    """Wilson's score interval with the sample size that would give a share its variance, and Student's t.

    Args:
        share: Estimated, in [0, 1].
        spread: Of it.
        n_answers: Answers that it rests on: with none of one kind among them the share may still not be 0.

    Returns:
        (low, high) in [0, 1]; both the share where its variance is 0.
    """
    if spread.variance <= 0:
        return share, share
    near = (n_answers * share + 1) / (n_answers + 2)  # a share of 0 or 1 has a size, too
    n_effective = near * (1 - near) / spread.variance
    return score_interval(share, spread.t**2 / n_effective)


def _with_constant(auxiliary_NQ: Floats, sampled_N: Flags) -> Floats:
    """The constant and what varies in the sample, standardised, and no column that others make up."""
    columns = [np.ones(len(auxiliary_NQ))]
    for column in auxiliary_NQ.T:
        seen = column[sampled_N]
        if len(seen) and np.isfinite(column).all() and seen.std() > _SAME:
            tried = [*columns, (column - seen.mean()) / seen.std()]
            if np.linalg.matrix_rank(np.column_stack(tried)[sampled_N]) == len(tried):
                columns = tried
    return np.column_stack(columns)
