"""What reviewing a tenth of the figures recovers: ``python benchmarks/review_ranking.py``.

On AMi-Br, answers of the default recipe out of fold, labels by the cut-off ``balanced`` or ``count``: the first 10 % of a
ranked list get their true label, and the balanced accuracy over all figures rises. Lists: the worklist by impact alone (over
all slides); ``review_rank``, each slide's own first tenth; the score behind it over all slides, without the effect on the
slide. Beside them a random tenth (mean over draws) and, as the most there is to have, a tenth that holds nothing but errors, of
the rarer class first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from labelled_figures import Labelled, labelled_figures
from numpy.typing import NDArray

from wsiamf.classes import AMF
from wsiamf.review.worklist import make_worklist

SHARE = 0.10
Flags = NDArray[np.bool_]


def balanced_accuracy(called: Flags, truth: Flags) -> float:
    """Mean of sensitivity and specificity, AMF being positive."""
    return float((called[truth].mean() + (~called[~truth]).mean()) / 2)


def reviewed_first(labelled: Labelled, share: float) -> Iterator[tuple[str, Flags]]:
    """Which figures each list puts into its first part."""
    figures, n = labelled.figures, round(share * len(labelled.truth))
    listed = make_worklist(figures, budget=n, certain_share=1.0).table["uuid"]
    yield "worklist by impact", figures["uuid"].isin(listed).to_numpy()
    n_of_slide = figures.groupby("slide_id")["uuid"].transform("size")
    place = (figures["review_rank"].astype(float) - 0.5) / n_of_slide
    yield "review_rank, each slide's first", _first(place.to_numpy(dtype=float), n)
    yield "review score, over all slides", _first(-figures["review_score"].to_numpy(dtype=float), n)


def _first(value: NDArray[np.float64], n: int) -> Flags:
    chosen = np.zeros(len(value), dtype=bool)
    chosen[np.argsort(value, kind="stable")[:n]] = True
    return chosen


def lines(labelled: Labelled, share: float, n_draws: int) -> Iterator[list[str]]:
    """A row a list: balanced accuracy before and after, what was recovered, how many times a random part's."""
    called, truth = ((column == AMF).to_numpy() for column in (labelled.figures["label"], labelled.truth))
    before, n = balanced_accuracy(called, truth), round(share * len(truth))

    def after(reviewed: Flags) -> float:
        return balanced_accuracy(np.where(reviewed, truth, called), truth)

    random = np.random.default_rng(0)
    by_chance = [after(_first(random.random(len(truth)), n)) - before for _ in range(n_draws)]
    chance = float(np.mean(by_chance))
    wrong = np.where(called == truth, 2.0, np.where(truth, 0.0, 1.0))
    for name, reviewed in [*reviewed_first(labelled, share), ("errors alone", _first(wrong, n))]:
        gained = after(reviewed) - before
        n_wrong = int((called != truth)[reviewed].sum())
        yield [
            name,
            f"{before:.3f}",
            f"{before + gained:.3f}",
            f"{gained:.4f}",
            f"{gained / chance:.2f}",
            f"{n_wrong}/{n}",
        ]
    yield ["random", f"{before:.3f}", f"{before + chance:.3f}", f"{chance:.4f}", "1.00", ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--share", type=float, default=SHARE)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    header = ["run", "cut-off", "list", "before", "after", "recovered", "times random", "wrong among them"]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for run in ("cv", "cv-without-atnorm-md"):
        for threshold in ("balanced", "count"):
            for line in lines(labelled_figures(run, threshold=threshold), options.share, options.draws):
                print(f"| {' | '.join([run, threshold, *line])} |")


if __name__ == "__main__":
    main()
