"""Figures of a binary classifier equal scikit-learn's; weights and bootstrap mean what they say."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from wsiamf.errors import TrainingError
from wsiamf.training.figures.metrics import (
    FIGURES,
    evaluate,
    expected_calibration_error,
    hardness_auc,
    weighted_auc,
    weighted_figures,
)
from wsiamf.training.figures.resampling import Resampling, estimates, whole_sample

Floats = NDArray[np.float64]


def predictions(n: int = 400, seed: int = 0) -> tuple[Floats, Floats, NDArray[np.int_]]:
    """p (with ties), amf, groups."""
    rng = np.random.default_rng(seed)
    amf = (rng.random(n) < 0.2).astype(np.float64)
    p = np.asarray(np.round(np.clip(0.2 + 0.3 * amf + rng.normal(0, 0.2, n), 0, 1), 2), dtype=np.float64)
    return p, amf, rng.integers(0, 40, n)


def test_by_hand() -> None:
    p = np.array([0.9, 0.8, 0.3, 0.2, 0.6, 0.1])
    amf = np.array([1.0, 1, 1, 0, 0, 0])
    figures = evaluate(p, amf, np.arange(6), 0.5, n_bootstrap=200)
    assert figures.sensitivity == pytest.approx(2 / 3)
    assert figures.specificity == pytest.approx(2 / 3)
    assert figures.balanced_accuracy == pytest.approx(2 / 3)
    assert figures.auc == pytest.approx(8 / 9)
    assert figures.brier == pytest.approx(np.mean([0.01, 0.04, 0.49, 0.04, 0.36, 0.01]))
    assert figures.probability_excess == pytest.approx(2.9 / 6 - 0.5)


def test_equal_to_scikit_learn() -> None:
    p, amf, groups = predictions()
    figures = evaluate(p, amf, groups, 0.3, n_bootstrap=20)
    called = p >= 0.3
    assert figures.auc == pytest.approx(sklearn_metrics.roc_auc_score(amf, p))
    assert figures.f1 == pytest.approx(sklearn_metrics.f1_score(amf, called))
    assert figures.accuracy == pytest.approx(sklearn_metrics.accuracy_score(amf, called))
    assert figures.balanced_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(amf, called))
    assert figures.sensitivity == pytest.approx(sklearn_metrics.recall_score(amf, called))
    assert figures.brier == pytest.approx(sklearn_metrics.brier_score_loss(amf, p))


def test_p_at_its_threshold_is_called_amf() -> None:
    figures = evaluate(np.array([0.5, 0.4]), np.array([1.0, 0]), np.arange(2), 0.5, n_bootstrap=20)
    assert (figures.sensitivity, figures.specificity) == (1, 1)


def test_each_figure_may_have_its_own_threshold() -> None:
    p, amf = np.array([0.6, 0.2, 0.6, 0.2]), np.array([1.0, 0, 0, 1])
    own = np.array([0.5, 0.5, 0.7, 0.1])
    assert evaluate(p, amf, np.arange(4), own, n_bootstrap=20).balanced_accuracy == 1
    assert evaluate(p, amf, np.arange(4), 0.5, n_bootstrap=20).balanced_accuracy == 0.5


def test_ece_of_a_perfect_and_of_a_wrong_forecast() -> None:
    amf = np.tile([1.0, 0, 0, 0], 25)
    assert expected_calibration_error(np.full(100, 0.25), amf) == pytest.approx(0)
    assert expected_calibration_error(np.full(100, 0.85), amf) == pytest.approx(0.6)


def test_a_weight_of_two_is_a_row_twice() -> None:
    p, amf, _ = predictions(60)
    weights = np.random.default_rng(1).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    threshold = np.full(60, 0.3)
    weighted = weighted_figures(p, amf, threshold, weights[None].astype(float))
    repeated = weighted_figures(p[rows], amf[rows], threshold[rows], whole_sample(len(rows)))
    assert np.allclose(weighted, repeated)


def test_what_needs_both_classes_is_undefined_without_one() -> None:
    values = weighted_figures(np.full(3, 0.2), np.zeros(3), np.full(3, 0.5), whole_sample(3))[0]
    figures = dict(zip(FIGURES, values, strict=True))
    assert {name for name, value in figures.items() if np.isnan(value)} == {
        "balanced_accuracy",
        "sensitivity",
        "auc",
        "f1",
    }
    assert figures["specificity"] == 1
    with pytest.raises(TrainingError, match="no AMF among 3 figures"):
        evaluate(np.full(3, 0.2), np.zeros(3), np.arange(3), 0.5)


def test_bootstrap_equals_a_plain_one() -> None:
    p, amf, groups = predictions()
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    rng = np.random.default_rng(5)
    plain = []
    for _ in range(2000):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        called, truth = p[rows] >= 0.3, amf[rows] == 1
        plain.append((called[truth].mean() + (~called)[~truth].mean()) / 2)
    figures = evaluate(p, amf, groups, 0.3, seed=1)
    assert figures.balanced_accuracy_interval == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.006)


def test_groups_are_drawn_whole() -> None:
    values = np.repeat([0.0, 1.0], 50)  # two groups of 50 equal rows: a mean of draws is 0, 1/2 or 1
    draws = Resampling(np.repeat(["a", "b"], 50), n_draws=400)
    low, high = draws.interval(lambda weights: weights @ values / weights.sum(axis=1))
    assert (low, high) == (0, 1)
    finer = Resampling(np.arange(100), n_draws=400)
    low, high = finer.interval(lambda weights: weights @ values / weights.sum(axis=1))
    assert 0.35 < low < high < 0.65


def test_draws_are_seeded() -> None:
    p, amf, groups = predictions()

    def interval(seed: int) -> Any:
        return evaluate(p, amf, groups, 0.3, seed=seed, n_bootstrap=100).intervals

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_a_mostly_undefined_figure_has_no_interval() -> None:
    amf = np.array([1.0, *np.zeros(9)])
    found = estimates(["auc"], lambda weights: weighted_auc(amf, amf, weights), Resampling(np.arange(10)), 10)
    assert found["auc"] == 1
    assert found["auc_low"] == 1  # the AMF is in 65 % of the draws
    rare = Resampling(np.repeat([0, 1], [1, 9]))  # AMF and NMF in groups of their own: together in half of the draws
    assert np.isnan(rare.interval(lambda weights: np.full(len(weights), np.nan))).all()


def test_hardness_auc_looks_at_known_rows() -> None:
    nan = float("nan")
    assert hardness_auc(np.array([0.1, 0.9, nan, 0.3]), np.array([0.0, 1, 1, nan])) == 1
    assert hardness_auc(np.array([0.1, 0.9]), np.array([0.0, nan])) is None
    assert hardness_auc(np.full(2, nan), np.array([0.0, 1])) is None


def test_three_thousand_rows_take_seconds() -> None:
    p, amf, groups = predictions(3000)
    started = time.process_time()
    evaluate(p, amf, groups, 0.3)
    assert time.process_time() - started < 5
