"""How often the intervals of readers' agreement hold the truth: ``python benchmarks/agreement_coverage.py``.

Two readers' answers are drawn from a known table of shares; every interval of agreement, kappa and AC1 is held against the
value of that table. The first figures are unweighted, as those of the random sample. The last are weighted as all figures of
the slides are: certain cases, on which the two agree less, and a random sample of 2,000 others, held against the value of all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wsiamf.review.agreement import ac1_chance, kappa_chance, measured, observed
from wsiamf.summary.agreement import chance_corrected

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[NDArray[np.int64], Floats, Floats]]
"""Generator and number of figures to cells (one's category times m plus the other's), weights and the true table."""

TABLES = {
    "even, 0.80 alike": [[0.40, 0.10], [0.10, 0.40]],
    "uneven, 0.96 alike": [[0.20, 0.02], [0.02, 0.76]],
    "rare, 0.96 alike": [[0.02, 0.02], [0.02, 0.94]],
    "three categories, 0.90 alike": [[0.10, 0.02, 0.0], [0.03, 0.60, 0.02], [0.0, 0.03, 0.20]],
}
HARD, EASY = [[0.20, 0.25], [0.25, 0.30]], [[0.12, 0.02], [0.02, 0.84]]
SIZES = (10, 20, 50, 100)
N_OTHERS = 2000


def unweighted(shares: Floats) -> Draw:
    """Figures drawn one by one from a table."""

    def draw(random: np.random.Generator, n: int) -> tuple[NDArray[np.int64], Floats, Floats]:
        return random.choice(shares.size, n, p=shares.ravel() / shares.sum()), np.ones(n), shares

    return draw


def weighted(random: np.random.Generator, n: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """As many certain cases as sampled others, these standing for 2,000."""
    certain, others = (random.choice(4, size, p=np.ravel(p)) for size, p in ((n, HARD), (N_OTHERS, EASY)))
    truth = np.bincount([*certain, *others], minlength=4).reshape(2, 2).astype(np.float64)
    sampled = random.choice(others, n, replace=False)
    return np.concatenate([certain, sampled]), np.repeat([1.0, N_OTHERS / n], n), truth


def coverage(draw: Draw, n: int, n_draws: int) -> dict[str, str]:
    """Of each measure the share of intervals that hold the truth, their mean width, and the share of draws with none."""
    found: dict[str, list[tuple[bool, float] | None]] = {}
    for seed in range(n_draws):
        cells, weights, table = draw(np.random.default_rng(seed), n)
        m = len(table)
        fields = measured(cells // m, cells % m, weights, m)
        for name, chance in (("agreement", None), ("kappa", kappa_chance), ("ac1", ac1_chance)):
            interval = fields[f"{name}_sampling_interval"]
            truth = chance_corrected(observed(table), 0.0 if chance is None else chance(table))
            held = None
            if interval is not None and truth is not None:
                low, high = interval["low"], interval["high"]
                held = (low - 1e-6 <= truth <= high + 1e-6, high - low)
            found.setdefault(name, []).append(held)
    return {name: _summed(held) for name, held in found.items()}


def _summed(held: list[tuple[bool, float] | None]) -> str:
    given = np.array([one for one in held if one is not None], dtype=np.float64)
    none = 1 - len(given) / len(held)
    return f"{given[:, 0].mean():.3f} ({given[:, 1].mean():.2f}{f'; none {none:.0%}' if none >= 0.005 else ''})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    n_draws = parser.parse_args().draws
    draws = {name: unweighted(np.array(shares)) for name, shares in TABLES.items()}
    print("| readers | figures | agreement | kappa | AC1 |\n| --- | --- | --- | --- | --- |")
    for name, draw in (*draws.items(), ("weighted, hard cases certain", weighted)):
        for n in SIZES:
            print("|", " | ".join([name, str(n), *coverage(draw, n, n_draws).values()]), "|", flush=True)


if __name__ == "__main__":
    main()
