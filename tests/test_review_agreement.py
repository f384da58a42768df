"""Agreement of readers: coefficients and intervals as published or worked out, figures apart by how they were drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.made_review import all_decided, made_figures
from wsiamf.review.agreement import ac1_chance, agreement, kappa_chance, measured, observed
from wsiamf.review.answers import Answer
from wsiamf.review.estimates import answered_design
from wsiamf.review.settling import settle
from wsiamf.review.worklist import make_worklist
from wsiamf.summary.agreement import chance_corrected

A, N, X = Answer.AMF, Answer.NMF, Answer.NOT_MITOSIS
FIGURES = made_figures(400, 20)
TRUTH = [(A, N, N, X)[row % 4] for row in range(400)]


def figures_in(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The category that either gave each figure of a table of numbers."""
    one, other = np.nonzero(table >= 0)
    return one.repeat(table.ravel()), other.repeat(table.ravel())


@pytest.mark.parametrize(
    ("table", "agree", "kappa", "ac1"),
    [
        ([[118, 5], [2, 0]], 0.944, -0.0234, 0.9408),  # Gwet 2008, table 2: kappa near nought where 94 % agree
        # Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014: 100 pregnancies by two abstractors
        ([[13, 0, 0], [0, 20, 7], [0, 4, 56]], 0.89, 0.7964094, 0.8493305),
    ],
)
def test_kappa_and_ac1_are_those_of_published_examples(
    table: list[list[int]], agree: float, kappa: float, ac1: float
) -> None:
    one, other = figures_in(np.array(table))
    fields = measured(one, other, np.ones(len(one)), len(table))
    assert [fields[name] for name in ("agreement", "kappa", "ac1")] == pytest.approx([agree, kappa, ac1], abs=1e-4)


def ends(share: float, n: float) -> list[float]:
    """Shares P from which ``share`` lies t standard errors away: the roots of (share - P)^2 = t^2 P (1 - P) / n."""
    weight = stats.t.ppf(0.975, n - 1) ** 2 / n
    return sorted(np.roots([1 + weight, -2 * share - weight, share**2]).tolist())


@pytest.mark.parametrize("weights", [np.ones(100), np.repeat([1.0, 9.0], 50)])
def test_intervals_are_wilsons_with_students_t_and_the_effective_number(weights: np.ndarray) -> None:
    one, other = figures_in(np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]]))
    table = np.zeros((3, 3))
    for row, column, weight in zip(one, other, weights, strict=True):
        table[row, column] += weight
    n = 100 if weights.max() == 1 else (50 + 450) ** 2 / (50 + 50 * 81)
    fields = measured(one, other, weights, 3)
    for name, by_chance in (("agreement", 0.0), ("kappa", kappa_chance(table)), ("ac1", ac1_chance(table))):
        interval = fields[f"{name}_sampling_interval"]
        expected = [chance_corrected(end, by_chance) for end in ends(observed(table), n)]
        assert [interval["low"], interval["high"]] == pytest.approx(expected, rel=1e-5)


def test_whole_agreement_on_few_figures_is_not_certain() -> None:
    one = np.arange(10) % 2
    fields = measured(one, one, np.ones(10), 2)
    t = stats.t.ppf(0.975, 9)
    for name, by_chance in (("agreement", 0.0), ("kappa", 0.5), ("ac1", 0.5)):
        assert fields[name] == fields[f"{name}_sampling_interval"]["high"] == 1.0
        low = (10 / (10 + t**2) - by_chance) / (1 - by_chance)
        assert fields[f"{name}_sampling_interval"]["low"] == pytest.approx(low, rel=1e-5)


@pytest.mark.parametrize("weight", [1.0, 4.3, 400 / 37, 1 / 0.15])
def test_ten_figures_of_one_weight_are_ten_whatever_it_is(weight: float) -> None:
    one = np.arange(10) % 2
    assert measured(one, one, np.full(10, weight), 2)["agreement"] == 1.0
    assert measured(one[:9], one[:9], np.full(9, weight), 2)["agreement"] is None


def test_what_says_too_little_is_null_with_the_reason() -> None:
    same = np.zeros(30, dtype=np.int64)
    fields = measured(same, same, np.ones(30), 2)
    assert (fields["agreement"], fields["kappa"], fields["kappa_sampling_interval"]) == (1.0, None, None)
    assert "one category alone" in fields["kappa_status"]
    assert measured(same[:9], same[:9], np.ones(9), 2)["agreement"] is None
    one_for_many = np.where(np.arange(30) == 0, 1e6, 1.0)  # thirty answers, and all hangs on one of them
    assert "effective" in measured(same, same, one_for_many, 2)["agreement_status"]


def test_agreement_is_given_apart_for_random_and_certain_figures() -> None:
    worklist = make_worklist(FIGURES, budget=100)
    rows = pd.Index(FIGURES["uuid"]).get_indexer(worklist.table["uuid"])
    hard = (worklist.table["stratum"] == "certain").to_numpy()
    ann = [TRUTH[row] for row in rows]
    bob = [(N if one is A else A) if odd else one for one, odd in zip(ann, hard, strict=True)]  # never alike where hard
    settled = settle(
        FIGURES, [*all_decided(FIGURES.iloc[rows], "ann", ann), *all_decided(FIGURES.iloc[rows], "bob", bob)]
    )
    found = agreement(settled, answered_design(settled, worklist))
    pairs: dict[tuple[str, str], Any] = {(one["one"], one["other"]): one for one in found["pairs"]}
    assert set(pairs) == {("ann", "bob"), ("ann", "model"), ("bob", "model")}
    readers = pairs["ann", "bob"]
    assert (readers["random_sample"]["kappa"], readers["random_sample"]["ac1"]) == (1.0, 1.0)
    assert readers["certain_cases"]["agreement"] == 0.0
    share = 1 - worklist.n_certain / 400
    assert readers["all_figures"]["agreement"] == pytest.approx(share, rel=1e-5)
    assert readers["other_answers"]["kappa"] is None
    only_hard = settle(
        FIGURES,
        [
            *all_decided(FIGURES.iloc[rows], "ann", ann),
            *all_decided(FIGURES.iloc[rows[hard]], "bob", ann[: hard.sum()]),
        ],
    )
    partly = agreement(only_hard, answered_design(only_hard, worklist))["pairs"][0]
    assert "not answered every row" in partly["all_figures"]["kappa_status"]


def test_an_adjudicator_is_in_no_pair() -> None:
    worklist = make_worklist(FIGURES, budget=60)
    rows = pd.Index(FIGURES["uuid"]).get_indexer(worklist.table["uuid"])
    answers = [one for name in ("ann", "bob", "cara") for one in all_decided(FIGURES.iloc[rows], name, [A] * 60)]
    settled = settle(FIGURES, answers, adjudicator="cara")
    found = agreement(settled, answered_design(settled, worklist), adjudicator="cara")
    assert [(one["one"], one["other"]) for one in found["pairs"]] == [
        ("ann", "bob"),
        ("ann", "model"),
        ("bob", "model"),
    ]
    assert "adjudicator" in found["rules"]
