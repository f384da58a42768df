"""Estimates from a reviewed worklist: right on average, intervals that hold, and only from what was drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.made_review import all_decided, made_figures
from wsiamf.review.answers import Answer
from wsiamf.review.estimates import answered_design, estimate
from wsiamf.review.settling import Settled, settle
from wsiamf.review.worklist import Worklist, make_worklist

A, N, X, U = Answer.AMF, Answer.NMF, Answer.NOT_MITOSIS, Answer.CANNOT_TELL
N_DRAWS = 8
NAMES = ("n_mf", "n_amf", "n_nmf", "amf_fraction", "precision")


def truth_of(figures: pd.DataFrame, *, seed: int = 5) -> list[Answer]:
    """What the figures are: AMF as likely as the model says, non-mitotic the rarer the higher the detector's score."""
    rng = np.random.default_rng(seed)
    atypical = rng.random(len(figures)) < figures["p_atypical"] ** 2
    false = rng.random(len(figures)) > 0.4 + 0.6 * figures["score"]
    return [X if wrong else A if odd else N for wrong, odd in zip(false, atypical, strict=True)]


def reviewed(figures: pd.DataFrame, truth: list[Answer], worklist: Worklist, n_rows: int | None = None) -> Settled:
    """The first rows of a worklist, answered with the truth."""
    listed = worklist.table["uuid"].iloc[:n_rows]
    rows = pd.Index(figures["uuid"]).get_indexer(listed)
    return settle(figures, all_decided(figures.iloc[rows], "ann", [truth[row] for row in rows]))


def estimated(settled: Settled, worklist: Worklist | None, *, by_slide: bool = True) -> dict[str, Any]:
    """Estimates from as much of a worklist as was answered."""
    return estimate(settled, answered_design(settled, worklist), by_slide=by_slide)


FIGURES = made_figures(400, 20)
TRUTH = truth_of(FIGURES)
N_MF = sum(one.is_mitosis for one in TRUTH)
TRUE = {
    "n_mf": N_MF,
    "n_amf": TRUTH.count(A),
    "n_nmf": TRUTH.count(N),
    "amf_fraction": TRUTH.count(A) / N_MF,
    "precision": N_MF / len(TRUTH),
}


@pytest.mark.parametrize("n_rows", [None, 61])
def test_estimates_are_right_on_average_and_intervals_hold(n_rows: int | None) -> None:
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in NAMES}
    for seed in range(N_DRAWS):
        worklist = make_worklist(FIGURES, budget=100, seed=seed)
        whole = estimated(reviewed(FIGURES, TRUTH, worklist, n_rows), worklist, by_slide=False)["all"]
        for name in NAMES:
            interval = whole[f"{name}_interval95"]
            found[name].append((whole[name], interval["low"] <= TRUE[name] <= interval["high"]))
    for name in NAMES:
        values = np.array([value for value, _ in found[name]])
        assert values.mean() == pytest.approx(TRUE[name], abs=4 * values.std() / N_DRAWS**0.5)
        assert np.mean([held for _, held in found[name]]) >= 0.75


def test_answering_everything_leaves_nothing_to_estimate() -> None:
    worklist = make_worklist(FIGURES, budget=400)
    whole = estimated(reviewed(FIGURES, TRUTH, worklist), worklist)["all"]
    for name in NAMES:
        assert whole[name] == pytest.approx(TRUE[name], rel=1e-5)
        interval = whole[f"{name}_interval95"]
        assert interval["low"] == interval["high"] == pytest.approx(TRUE[name], rel=1e-5)
    of_cases = whole["amf_fraction_interval95_of_cases"]
    assert of_cases["low"] < TRUE["amf_fraction"] < of_cases["high"]


def test_numbers_and_their_intervals_are_possible() -> None:
    figures = made_figures(60, 3)
    truth = truth_of(figures)
    for seed in range(12):
        worklist = make_worklist(figures, budget=55, certain_share=0.2, seed=seed)
        settled = reviewed(figures, truth, worklist)
        whole = estimated(settled, worklist, by_slide=False)["all"]
        labels = settled.table.loc[settled.table["reviewed"], "final_label"]
        for name, seen in {
            "n_amf": (labels == "AMF").sum(),
            "n_nmf": (labels == "NMF").sum(),
            "n_mf": (labels != "non-mitotic").sum(),
        }.items():
            interval = whole[f"{name}_interval95"]
            assert seen <= interval["low"] <= whole[name] <= interval["high"] <= seen + 5


def test_rows_after_the_first_gap_and_answers_elsewhere_are_not_used() -> None:
    worklist = make_worklist(FIGURES, budget=100)
    settled = reviewed(FIGURES, TRUTH, worklist, 70)
    with_gap = worklist.table.drop(index=60)
    rows = pd.Index(FIGURES["uuid"]).get_indexer(with_gap["uuid"])
    elsewhere = np.setdiff1d(np.arange(400), pd.Index(FIGURES["uuid"]).get_indexer(worklist.table["uuid"]))[:50]
    both = np.concatenate([rows, elsewhere])
    gapped = settle(FIGURES, all_decided(FIGURES.iloc[both], "ann", [TRUTH[row] for row in both]))
    found = estimated(gapped, worklist, by_slide=False)
    assert (found["n_rows_used"], found["first_unanswered_row"], found["n_answers_beyond"]) == (60, 61, 39)
    first = estimated(reviewed(FIGURES, TRUTH, worklist, 60), worklist, by_slide=False)
    assert found["all"] == first["all"]
    assert estimated(settled, worklist, by_slide=False)["n_rows_used"] == 70


def test_unresolved_figures_leave_the_counts_and_bounds_say_what_they_could_change() -> None:
    unsure = [U if row % 10 == 0 else answer for row, answer in enumerate(TRUTH)]
    worklist = make_worklist(FIGURES, budget=400)
    whole = estimated(reviewed(FIGURES, unsure, worklist), worklist)["all"]
    n_amf, n_nmf = unsure.count(A), unsure.count(N)
    assert (whole["n_unresolved"], whole["n_mf"]) == (40, n_amf + n_nmf)
    assert whole["precision"] == pytest.approx((n_amf + n_nmf) / 360, rel=1e-5)
    assert whole["n_mf_bounds"] == {
        "all_amf": n_amf + n_nmf + 40,
        "all_nmf": n_amf + n_nmf + 40,
        "all_non_mitotic": n_amf + n_nmf,
    }
    bounds = whole["amf_fraction_bounds"]
    assert bounds["all_nmf"] < bounds["all_non_mitotic"] == whole["amf_fraction"] < bounds["all_amf"]


def test_too_few_no_worklist_and_other_figures_are_null_with_the_reason() -> None:
    worklist = make_worklist(FIGURES, budget=30)
    few = estimated(reviewed(FIGURES, TRUTH, worklist), worklist)
    assert few["all"]["n_mf"] is None
    assert "20 are needed" in few["all"]["n_mf_interval95_status"]
    settled = reviewed(FIGURES, TRUTH, worklist)
    assert "no worklist" in estimated(settled, None)["all"]["precision_status"]
    changed = replace(settled, table=settled.table.assign(uuid=[f"new-{row}" for row in range(400)]))
    assert "make the worklist anew" in estimated(changed, worklist)["all"]["precision_status"]


def test_a_slide_with_answers_enough_has_estimates_of_its_own() -> None:
    figures = made_figures(400, 4)
    truth = truth_of(figures)
    worklist = make_worklist(figures, budget=240, certain_share=0.1)
    found = estimated(reviewed(figures, truth, worklist), worklist)["slides"]
    for name, slide in found.items():
        own = [truth[row] for row in np.flatnonzero(figures["slide_id"] == name)]
        assert slide["n_candidates"] == 100
        interval = slide["n_mf_interval95"]
        assert interval["low"] <= sum(one.is_mitosis for one in own) <= interval["high"]
        assert "amf_fraction_interval95_of_cases" not in slide
