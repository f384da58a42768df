"""Bootstrap over groups, vectorised: a figure is a function of row weights, and a draw of groups is a set of such weights.

One definition of a figure then serves both the estimate (every weight 1) and its interval. Shapes: B = draws, N = rows,
G = groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Row weights (B, N) to a figure a draw, (B,), or to K figures a draw, (B, K); NaN where a draw leaves it undefined."""

N_DRAWS: Final = 2000
_TAILS: Final = (2.5, 97.5)
_MIN_DEFINED: Final = 0.5  # a figure that most draws leave undefined has no interval
_CHUNK_CELLS: Final = 100_000  # row weights held at once: what a processor's cache holds


class Resampling:
    """Draws, with replacement, of whole groups.

    Args:
        groups: What is drawn whole: cases or slides, (N,).
        seed: Of the draws.
        n_draws: How many, B.
    """

    def __init__(self, groups: NDArray[Any], *, seed: int = 0, n_draws: int = N_DRAWS) -> None:
        names, self._group_N = np.unique(groups, return_inverse=True)
        self.n_groups = len(names)
        self._counts_BG = _draw_counts(self.n_groups, n_draws, np.random.default_rng(seed))

    def interval(self, statistic: Statistic) -> Floats:
        """Percentile 95 % interval: (2,) or (2, K), low then high; NaN where the figure is mostly undefined.

        Draws that leave the figure undefined (a class is missing) are left out.
        """
        step = max(1, _CHUNK_CELLS // max(1, len(self._group_N)))
        chunks = range(0, len(self._counts_BG), step)
        drawn = np.concatenate([statistic(self._weights(start, start + step)) for start in chunks])
        columns = drawn.reshape(len(drawn), -1)
        limits = np.stack([_limits(column) for column in columns.T], axis=1)
        return limits.reshape(2, *drawn.shape[1:])

    def _weights(self, start: int, stop: int) -> Floats:
        weights: Floats = self._counts_BG[start:stop][:, self._group_N].astype(np.float64)
        return weights


def whole_sample(n: int) -> Floats:
    """The row weights of the sample itself, (1, N)."""
    return np.ones((1, n))


def _draw_counts(n_groups: int, n_draws: int, generator: np.random.Generator) -> NDArray[np.int16]:
    """How often each draw holds each group, (B, G)."""
    drawn = generator.integers(n_groups, size=(n_draws, n_groups))
    places = drawn + n_groups * np.arange(n_draws)[:, None]
    counts = np.bincount(places.ravel(), minlength=n_draws * n_groups)
    return counts.reshape(n_draws, n_groups).astype(np.int16)


def _limits(values: Floats) -> Floats:
    defined = values[~np.isnan(values)]
    if len(defined) < _MIN_DEFINED * len(values):
        return np.full(2, np.nan)
    return np.asarray(np.percentile(defined, _TAILS), dtype=np.float64)


def estimates(names: Sequence[str], statistic: Statistic, resampling: Resampling, n: int) -> dict[str, float]:
    """For each of K figures of the ``n`` rows ``name``, ``name_low`` and ``name_high``; NaN where undefined.

    Args:
        names: Of the figures.
        statistic: Row weights to figures, (B, K), or (B,) where there is one.
        resampling: Of these rows.
        n: Number of rows.
    """
    values = statistic(whole_sample(n))[0]
    limits = np.stack([np.atleast_1d(values), *np.reshape(resampling.interval(statistic), (2, -1))])
    suffixes = ("", "_low", "_high")
    return {f"{name}{end}": float(limits[row, k]) for k, name in enumerate(names) for row, end in enumerate(suffixes)}
