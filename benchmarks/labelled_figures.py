"""Figures with a known truth for the review's benchmarks: AMi-Br's labelled crops, the default recipe's answers out of fold.

``p_atypical`` and the cut-offs of a fold's rows come from the calibration of the other folds. AMi-Br holds no figure that is
not mitotic, so a detector's false positives are made up where a population asks for them: each slide gets its own share of
them, and each of them the probabilities of a figure drawn at random from the whole set. Detector scores are made up, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wsiamf.classes import AMF, NMF, NON_MITOTIC
from wsiamf.statuses import OK
from wsiamf.summary.ranking import rank_for_review, review_score
from wsiamf.training.deciding import head_raters, with_cross_fitted

RESULTS = Path(__file__).resolve().parent.parent / "results" / "wsiamf-lite2"
_APART_UM = 100.0  # no pairs: AMi-Br's places do not matter here
_SCORES = {True: 1.0, False: -0.5}  # mean logit of figures and of false positives; both have a deviation of 1


@dataclass(frozen=True)
class Labelled:
    """Figures as ``review.figures.load_figures`` gives them, and what they are.

    Args:
        figures: N rows.
        truth: (N,) AMF, NMF or non-mitotic.
        p_balanced: (N,) cut-off ``balanced`` of each row's fold.
    """

    figures: pd.DataFrame
    truth: pd.Series
    p_balanced: pd.Series

    def of_slides(self, slides: list[str]) -> Labelled:
        """The figures of some slides; one that is named twice is two slides, and two cases."""
        rows, names = [], []
        places = self.figures.groupby("slide_id").indices
        for number, slide in enumerate(slides):
            rows.append(places[slide])
            names += [f"{number}/{slide}"] * len(places[slide])
        chosen = np.concatenate(rows)
        figures = self.figures.iloc[chosen].reset_index(drop=True)
        figures["slide_id"] = pd.Series(names, dtype=object)
        uuids = [f"{name}/{uuid}" for name, uuid in zip(names, figures["uuid"], strict=True)]
        figures["uuid"] = pd.Series(uuids, dtype=object)
        return Labelled(
            figures,
            self.truth.iloc[chosen].reset_index(drop=True),
            self.p_balanced.iloc[chosen].reset_index(drop=True),
        )


def labelled_figures(run: str = "cv", *, threshold: str = "count") -> Labelled:
    """AMi-Br's figures out of fold, ranked slide by slide.

    Args:
        run: Folder of ``results/wsiamf-lite2``.
        threshold: Cut-off that labels follow, ``count`` or ``balanced``.
    """
    parts = [pd.read_csv(RESULTS / run / f"fold-{fold}" / "out_of_fold.csv") for fold in range(1, 6)]
    table = pd.concat(parts, ignore_index=True)
    table = table[table["slide"].notna()].reset_index(drop=True)
    raters = head_raters(table)
    table = with_cross_fitted(table, raters, seed=0)
    place = _APART_UM * np.arange(len(table))
    figures = pd.DataFrame(
        {
            **dict.fromkeys(("slide_id", "fingerprint"), table["slide"].astype(object)),
            "case_id": None,
            **dict.fromkeys(("uuid", "candidate_id"), table["file"].astype(object)),
            "status": OK,
            **dict.fromkeys(("x", "y", "x_um", "y_um"), place),
            "score": np.nan,
            "p_atypical": table["p_atypical"],
            "p_hard": table["p_hard"],
            **{f"p_atypical_expert_{k}": table[f"p_{rater}"] for k, rater in enumerate(raters, start=1)},
            "label": np.where(table["p_atypical"] >= table[f"threshold_{threshold}"], AMF, NMF).astype(object),
            "hard": (table["p_hard"] >= table["threshold_hard"]).astype("boolean"),
            "crop_coverage": 1.0,
            "in_hotspot": pd.Series([False] * len(table), dtype="boolean"),
        }
    )
    truth = pd.Series(np.where(table["amf"] == 1, AMF, NMF), dtype=object)
    return Labelled(_ranked(figures, table[f"threshold_{threshold}"]), truth, table["threshold_balanced"])


def with_false_positives(labelled: Labelled, share: float, *, scores: bool, seed: int) -> Labelled:
    """The same with made-up false positives: of each slide's candidates a share drawn from a Beta about the mean ``share``."""
    random = np.random.default_rng(seed)
    figures, added = labelled.figures, []
    for slide, rows in figures.groupby("slide_id").indices.items():
        own = random.beta(4 * share, 4 * (1 - share))
        n = random.binomial(len(rows), min(own / (1 - own), 3) / 3, size=3).sum()
        new = figures.iloc[random.integers(len(figures), size=n)].assign(slide_id=slide, fingerprint=slide)
        added.append(new.assign(uuid=np.array([f"{slide}/false/{number}" for number in range(n)], dtype=object)))
    false = pd.concat(added)
    both = pd.concat([figures, false], ignore_index=True)
    truth = pd.concat([labelled.truth, pd.Series([NON_MITOTIC] * len(false), dtype=object)], ignore_index=True)
    if scores:
        logit = random.normal((truth != NON_MITOTIC).map(_SCORES).to_numpy(), 1.0)
        both["score"] = 1 / (1 + np.exp(-logit))
    cuts = pd.concat([labelled.p_balanced, labelled.p_balanced.loc[false.index]], ignore_index=True)
    return Labelled(both, truth, cuts)


def _ranked(figures: pd.DataFrame, cuts: pd.Series) -> pd.DataFrame:
    parts = []
    for _, own in figures.groupby("slide_id"):
        cut = float(cuts.loc[own.index].iloc[0])
        parts.append(rank_for_review(own, threshold=cut).assign(review_score=review_score(own, threshold=cut)))
    return pd.concat(parts).loc[figures.index]
