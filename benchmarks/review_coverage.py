"""How often the review's intervals hold the truth: ``python benchmarks/review_coverage.py``.

Every draw makes a worklist, answers it with the truth of the labelled crops, and holds each interval against the truth of all
figures. Populations: all slides of AMi-Br; cohorts of 30 of its slides, drawn anew each time; the largest slide by itself; each
without false positives of the detector and with made-up ones (30 % on average, more on some slides than on others; with and
without a made-up detector score). The model's answers are out of fold. Beside the estimate stands the plain recount (answers
where there are any, else the model), which carries the errors that nobody looked at.

``of cases`` is the interval for cases like these: cohorts of 30 slides drawn with replacement, held against all slides.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from labelled_figures import Labelled, labelled_figures, with_false_positives

from wsiamf.classes import AMF, NMF
from wsiamf.files import atomic_file
from wsiamf.review.answers import FIGURE
from wsiamf.review.estimates import answered_design, estimate
from wsiamf.review.settling import MODEL, REVIEW, Settled
from wsiamf.review.worklist import Worklist, make_worklist

NAMES = ("n_mf", "n_amf", "amf_fraction", "precision")
Draw = Callable[[np.random.Generator], Labelled]


def answered(labelled: Labelled, worklist: Worklist, n_rows: int) -> Settled:
    """What ``settle`` gives when one reader, who is always right, answers the first rows of a worklist."""
    figures = labelled.figures
    rows = pd.Index(figures["uuid"]).get_indexer(worklist.table["uuid"].iloc[:n_rows])
    reviewed = np.zeros(len(figures), dtype=bool)
    reviewed[rows] = True
    labels = figures["label"].where(~reviewed, labelled.truth)
    table = figures.assign(
        kind=FIGURE,
        final_label=labels.astype(object),
        n_readers=reviewed.astype(int),
        adjudicate=False,
        reviewed=reviewed,
        source=np.where(reviewed, REVIEW, MODEL),
    )
    return Settled(table, {}, [], tuple(sorted(figures["slide_id"].unique())))


def shares(labels: pd.Series) -> dict[str, float]:
    """Figures, AMF, their fraction and the precision, were these the labels of all candidates."""
    n_amf, n_nmf = float((labels == AMF).sum()), float((labels == NMF).sum())
    n_mf = n_amf + n_nmf
    return {"n_mf": n_mf, "n_amf": n_amf, "amf_fraction": n_amf / n_mf, "precision": n_mf / len(labels)}


def one_draw(
    draw: Draw, seed: int, *, budget: int, n_rows: int, certain_share: float, of_all: Labelled | None
) -> list[dict[str, Any]]:
    """A row for each estimate: whether its interval holds the truth, how far off it is, how far off the plain recount is."""
    labelled = draw(np.random.default_rng(seed))
    worklist = make_worklist(labelled.figures, budget=budget, seed=seed, certain_share=certain_share)
    settled = answered(labelled, worklist, n_rows)
    found = estimate(settled, answered_design(settled, worklist), by_slide=False)["all"]
    plain, truth = shares(settled.table["final_label"]), shares((of_all or labelled).truth)
    kind = "interval95" if of_all is None else "interval95_of_cases"
    rows = []
    for name in NAMES if of_all is None else ("amf_fraction", "precision"):
        interval = found[f"{name}_{kind}"]
        held = interval is not None and interval["low"] <= truth[name] <= interval["high"]
        width = np.nan if interval is None else interval["high"] - interval["low"]
        off = {"bias": found[name] - truth[name], "recount": plain[name] - truth[name]}
        rows.append({"figure": name, "held": held, "width": width, "truth": truth[name], **off})
    return rows


def populations(seed: int) -> dict[str, Labelled]:
    """All slides, without and with false positives."""
    plain = labelled_figures()
    return {
        "AMi-Br": plain,
        "AMi-Br and false positives": with_false_positives(plain, 0.3, scores=False, seed=seed),
        "AMi-Br and false positives, scored": with_false_positives(plain, 0.3, scores=True, seed=seed),
    }


def measure(
    n_draws: int, budgets: list[tuple[int, int, float]], seed: int, chosen: list[str] | None = None
) -> pd.DataFrame:
    """A row a population, way of asking, and figure."""
    rows: list[dict[str, Any]] = []
    for name, whole in populations(seed).items():
        if chosen and name not in chosen:
            continue
        slides = sorted(whole.figures["slide_id"].unique())
        largest = whole.of_slides([str(whole.figures["slide_id"].value_counts().index[0])])
        draws: dict[str, tuple[Draw, Labelled | None]] = {
            "all slides": (partial(_always, whole), None),
            "30 slides": (partial(_cohort, whole, slides, replace=False), None),
            "largest slide": (partial(_always, largest), None),
            "30 slides, of cases": (partial(_cohort, whole, slides, replace=True), whole),
        }
        for budget, n_rows, share in budgets:
            for scope, (draw, of_all) in draws.items():
                options = {"budget": budget, "n_rows": n_rows, "certain_share": share, "of_all": of_all}
                found = [row for k in range(n_draws) for row in one_draw(draw, seed + k, **options)]  # type: ignore[arg-type]
                for figure, some in pd.DataFrame(found).groupby("figure", sort=False):
                    asked = {"budget": budget, "answered": n_rows, "certain share": share}
                    rows.append({"population": name, "scope": scope, **asked, "figure": figure, **_summed(some)})
    return pd.DataFrame(rows)


def _always(whole: Labelled, _random: np.random.Generator) -> Labelled:
    return whole


def _cohort(whole: Labelled, slides: list[str], random: np.random.Generator, *, replace: bool) -> Labelled:
    return whole.of_slides([str(name) for name in random.choice(slides, size=30, replace=replace)])


def _summed(some: pd.DataFrame) -> dict[str, float]:
    scale = 1 / some["truth"].mean() if some["truth"].mean() > 1 else 1.0  # counts as a share of the truth
    return {
        "truth": some["truth"].mean(),
        "coverage": some["held"].mean(),
        "bias": some["bias"].mean() * scale,
        "width": some["width"].mean() * scale,
        "recount's bias": some["recount"].mean() * scale,
    }


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown."""
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    for row in table.itertuples(index=False):
        lines.append([f"{value:.3f}" if isinstance(value, float) else str(value) for value in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--population", action="append", help="Only this one; may be given again.")
    parser.add_argument("--more", action="store_true", help="Smaller budgets, early ends and no certain cases, too.")
    parser.add_argument("--out", type=Path, help="Write the table here as CSV.")
    options = parser.parse_args()
    budgets = [(200, 200, 0.5)]
    if options.more:
        budgets += [(200, 120, 0.5), (60, 60, 0.5), (100, 100, 0.5), (200, 200, 0.0), (500, 500, 0.5)]
    table = measure(options.draws, budgets, options.seed, options.population)
    if options.out is not None:
        with atomic_file(options.out) as temporary:
            table.to_csv(temporary, index=False)
    print(markdown(table))


if __name__ == "__main__":
    main()
