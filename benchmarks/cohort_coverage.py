"""How often a cohort's intervals hold the truth: ``python benchmarks/cohort_coverage.py --data DATA``.

The slides of a labelled set are taken for all there are, one case each; cohorts of n cases are drawn from them with
replacement, each interval is computed from a cohort alone, and held against the figure of the whole set:

- the experts' majority on AMi-Br and on MIDOG 2025 track 2 (its annotation table), and on each tumour of the latter;
- the model's calls and its calibrated probabilities on AMi-Br, out of fold (``results/wsiamf-lite2/cv``; calibration and
  ``count`` cut-off from the other folds), held against its own figure of the whole set and against the majority's.

Beside the interval that ``cohort.json`` prints (``widened``) stand the plain percentile bootstrap, BCa, a bootstrap-t on the
logit, and Wilson's interval over the pooled figures, which is what must not be printed. AtNorM-MD has no slide names, so that
there are no cases to draw.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from wsiamf.cohort import bootstrap
from wsiamf.config import SetConfig
from wsiamf.files import atomic_file
from wsiamf.summary.intervals import MIN_CASES, MIN_EFFECTIVE_CASES, Interval, wilson
from wsiamf.training.deciding import head_raters, with_cross_fitted
from wsiamf.training.readers import READERS

FOLDS = Path(__file__).resolve().parent.parent / "results" / "wsiamf-lite2" / "cv"
SIZES = (5, 8, 10, 20, 40, 80)
TUMOUR_SIZES = (8, 10, 20)
TAILS = (0.025, 0.975)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """All slides of a set.

    Args:
        name: For the table.
        amf, n: Figures called AMF and all figures, one a slide, (C,).
        truth_amf: What the truth counts as AMF, (C,).
    """

    name: str
    amf: Floats
    n: Floats
    truth_amf: Floats
    sizes: tuple[int, ...] = SIZES


@dataclass(frozen=True)
class Drawn:
    """A cohort and its bootstrap: numerators and denominators, (C,), their totals in every draw, (B,), and the squares'."""

    numerators: Floats
    denominators: Floats
    totals_BK: Floats

    @property
    def ratio(self) -> float:
        return float(self.numerators.sum() / self.denominators.sum())

    @property
    def ratios(self) -> Floats:
        ratios: Floats = self.totals_BK[:, 0] / self.totals_BK[:, 1]
        return ratios


def widened(drawn: Drawn) -> Interval | None:
    """What ``cohort.json`` prints, without its least number of cases."""
    effective = bootstrap.effective_cases(drawn.numerators, drawn.denominators)
    if effective < MIN_EFFECTIVE_CASES:
        return None
    return bootstrap.ratio_interval(drawn.ratios, effective)


def percentile(drawn: Drawn) -> Interval | None:
    """Between the 2.5 % and 97.5 % quantiles of the drawn ratios."""
    low, high = np.quantile(drawn.ratios, TAILS).tolist()
    return low, high


def bca(drawn: Drawn) -> Interval | None:
    """Bias-corrected and accelerated (Efron 1987)."""
    below = ((drawn.ratios < drawn.ratio).mean() + (drawn.ratios <= drawn.ratio).mean()) / 2
    left = (drawn.numerators.sum() - drawn.numerators) / (drawn.denominators.sum() - drawn.denominators)
    off = left.mean() - left
    spread = float((off**2).sum()) ** 1.5
    if not 0 < below < 1 or spread == 0:
        return None
    bias, acceleration = special.ndtri(below), float((off**3).sum()) / (6 * spread)
    moved = bias + special.ndtri(np.array(TAILS))
    low, high = np.quantile(drawn.ratios, special.ndtr(bias + moved / (1 - acceleration * moved))).tolist()
    return low, high


def bootstrap_t(drawn: Drawn) -> Interval | None:
    """Studentised on the logit, with the linearised standard error of a ratio."""
    n = len(drawn.numerators)
    squares = np.array([[(drawn.numerators**2).sum(), (drawn.numerators * drawn.denominators).sum()]])
    whole = np.column_stack([squares, [(drawn.denominators**2).sum()]])
    error = _logit_errors(np.array([drawn.ratio]), np.array([drawn.denominators.sum()]), whole, n)[0]
    errors = _logit_errors(drawn.ratios, drawn.totals_BK[:, 1], drawn.totals_BK[:, 2:], n)
    usable = np.isfinite(errors) & (errors > 1e-9)
    if not np.isfinite(error) or error == 0 or not usable.any():
        return None
    centre = special.logit(drawn.ratio)
    t = (special.logit(drawn.ratios[usable]) - centre) / errors[usable]
    high_t, low_t = np.quantile(t, TAILS)
    low, high = special.expit(centre - np.array([low_t, high_t]) * error).tolist()
    return low, high


def wilson_over_figures(drawn: Drawn) -> Interval | None:
    """Wilson's, as if all figures were independent."""
    return wilson(round(drawn.numerators.sum()), round(drawn.denominators.sum()))


METHODS: dict[str, Callable[[Drawn], Interval | None]] = {
    "widened": widened,
    "percentile": percentile,
    "BCa": bca,
    "bootstrap-t": bootstrap_t,
    "Wilson": wilson_over_figures,
}


def _logit_errors(ratios: Floats, totals: Floats, squares_B3: Floats, n: int) -> Floats:
    """Standard errors of logit(ratio); infinite where the ratio is 0 or 1."""
    residual = squares_B3[:, 0] - 2 * ratios * squares_B3[:, 1] + ratios**2 * squares_B3[:, 2]
    errors = np.sqrt(np.maximum(residual, 0) * n / (n - 1)) / totals
    slope = ratios * (1 - ratios)
    return np.divide(errors, slope, out=np.full_like(errors, np.inf), where=slope > 0)


def draw(numerators: Floats, denominators: Floats, seed: int, n_draws: int) -> Drawn:
    """A cohort's bootstrap."""
    columns = [numerators, denominators, numerators**2, numerators * denominators, denominators**2]
    totals = bootstrap.drawn_totals(np.column_stack(columns), seed=seed, n_draws=n_draws)
    return Drawn(numerators, denominators, totals)


def measure(population: Population, n_cases: int, n_cohorts: int, n_draws: int) -> Iterator[dict[str, object]]:
    """One row a figure and method: how many of the cohorts' intervals hold the population's figure."""
    random = np.random.default_rng([n_cases, n_cohorts])
    ones = np.ones(len(population.n))
    figures = {
        "pooled": (population.amf, population.n, population.truth_amf.sum() / population.n.sum()),
        "mean of cases": (population.amf / population.n, ones, (population.truth_amf / population.n).mean()),
    }
    cohorts = random.integers(len(population.n), size=(n_cohorts, n_cases))
    for figure, (numerators, denominators, truth) in figures.items():
        intervals: dict[str, list[Interval | None]] = {name: [] for name in METHODS if _applies(name, figure)}
        for seed, chosen in enumerate(cohorts):
            drawn = draw(numerators[chosen], denominators[chosen], seed, n_draws)
            for name, found in intervals.items():
                found.append(METHODS[name](drawn))
        for name, found in intervals.items():
            yield {"population": population.name, "figure": figure, "cases": n_cases, "method": name} | _covered(
                [one for one in found if one is not None], truth, n_cohorts
            )


def _applies(method: str, figure: str) -> bool:
    return method != "Wilson" or figure == "pooled"


def _covered(intervals: list[Interval], truth: float, n_cohorts: int) -> dict[str, object]:
    limits = np.array(intervals)
    holds = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    width = float((limits[:, 1] - limits[:, 0]).mean())
    return {"coverage": float(holds.mean()), "mean_width": width, "without": n_cohorts - len(intervals)}


def populations(data: Path) -> Iterator[Population]:
    """Every set of slides that is drawn from."""
    rows = READERS["ami-br"](SetConfig(kind="ami-br", path="crops/AMi-Br", use="split"), data).table
    yield _majority("AMi-Br, majority", rows, "slide", "amf")
    midog = pd.read_csv(data / "annotations" / "MIDOG25_Atypical_Classification_Train_Set.csv")
    midog = midog.assign(amf=midog["majority"].eq("AMF").astype(float))
    yield _majority("MIDOG 2025, majority", midog, "filename", "amf")
    yield from _by_model()
    for tumour, some in midog.groupby("Tumor"):
        yield _majority(str(tumour), some, "filename", "amf", TUMOUR_SIZES)


def _majority(name: str, rows: pd.DataFrame, slide: str, amf: str, sizes: tuple[int, ...] = SIZES) -> Population:
    by_slide = rows.groupby(slide)[amf]
    counts, n = by_slide.sum().to_numpy(dtype=float), by_slide.size().to_numpy().astype(np.float64)
    return Population(name, counts, n, counts, sizes)


def _by_model() -> Iterator[Population]:
    parts = [pd.read_csv(FOLDS / f"fold-{fold}" / "out_of_fold.csv") for fold in range(1, 6)]
    table = pd.concat(parts, ignore_index=True)
    table = table[table["slide"].notna()].reset_index(drop=True)
    table = with_cross_fitted(table, head_raters(table), seed=0)
    called = (table["p_atypical"] >= table["threshold_count"]).astype(float)
    by_slide = table.assign(called=called).groupby("slide")
    n = by_slide.size().to_numpy().astype(np.float64)
    amf, calls, expected = (by_slide[name].sum().to_numpy(dtype=float) for name in ("amf", "called", "p_atypical"))
    yield Population("AMi-Br, model's calls, its own figure", calls, n, calls)
    yield Population("AMi-Br, model's calls, majority's figure", calls, n, amf)
    yield Population("AMi-Br, model's probabilities, majority's figure", expected, n, amf)


def markdown(table: pd.DataFrame) -> str:
    """A line a population and figure: coverage of the printed interval by number of cases, that of others as a range."""
    others = [name for name in METHODS if name != "widened"]
    header = ["population", "figure", *(f"{size} cases" for size in SIZES), *others]
    lines = [header, ["---"] * len(header)]
    for (population, figure), some in table.groupby(["population", "figure"], sort=False):
        printed = some[some["method"] == "widened"].set_index("cases")["coverage"]
        sizes = [f"{printed[size]:.3f}" if size in printed else "" for size in SIZES]
        enough = some[some["cases"] >= MIN_CASES].groupby("method")["coverage"]
        low, high = enough.min(), enough.max()
        ranges = [f"{low[name]:.2f} to {high[name]:.2f}" if name in low else "" for name in others]
        lines.append([str(population), str(figure), *sizes, *ranges])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _lowest(table: pd.DataFrame) -> float:
    printed = table[(table["method"] == "widened") & (table["cases"] >= MIN_CASES)]
    return float(printed["coverage"].min())


def main() -> None:
    """Measure, print the table and leave it in the output folder as Markdown and CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    chosen = parser.parse_args()
    rows = []
    for population in populations(chosen.data):
        for size in population.sizes:
            rows += list(measure(population, size, chosen.cohorts, chosen.draws))
            print(population.name, size, flush=True)
    table = pd.DataFrame(rows)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with atomic_file(chosen.out / "cohort_coverage.csv") as path:
        table.round(4).to_csv(path, index=False, lineterminator="\n")
    with atomic_file(chosen.out / "cohort_coverage.md") as path:
        path.write_text(markdown(table), "utf-8")
    print(markdown(table))
    print(f"lowest coverage with {MIN_CASES} cases or more: {_lowest(table):.3f}")


if __name__ == "__main__":
    main()
