"""Intervals against published values, enumeration and an independent simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wsiamf.summary.intervals import (
    Accuracy,
    clip_share,
    count_distribution,
    garwood,
    poisson_binomial,
    rogan_gladen,
    rogan_gladen_interval,
    wilson,
)

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("n_positive", "n", "low", "high"),
    [(0, 10, 0.0, 27.8), (1, 10, 1.8, 40.4), (4, 21, 7.7, 40.0), (10, 10, 72.2, 100.0), (81, 263, 25.5, 36.6)],
)
def test_wilson_gives_the_published_percentages(n_positive: int, n: int, low: float, high: float) -> None:
    """The last is Newcombe's (1998) first example; his second is 15/148, 6.2 to 16.0 %, below."""
    interval = wilson(n_positive, n)
    assert interval is not None
    assert [round(100 * end, 1) for end in interval] == [low, high]


def test_wilson_gives_newcombes_second_example() -> None:
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_wilson_of_nothing_is_not_estimable() -> None:
    assert wilson(0, 0) is None


@given(st.integers(1, 500), st.data())
def test_wilson_ends_solve_the_score_equation(n: int, data: st.DataObject) -> None:
    n_positive = data.draw(st.integers(0, n))
    interval = wilson(n_positive, n)
    assert interval is not None
    assert 0 <= interval[0] <= n_positive / n <= interval[1] <= 1
    for end in interval:
        if 0 < end < 1:
            assert abs(n_positive / n - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), rel=1e-5)


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (10, 4.795, 18.390), (100, 81.364, 121.627)],
)
def test_garwood_gives_the_tabled_limits(n: int, low: float, high: float) -> None:
    assert garwood(n, 1.0) == pytest.approx((low, high), abs=1e-3)


def test_garwood_is_a_rate_of_its_exposure() -> None:
    assert garwood(5, 2.37) == pytest.approx((1.6235 / 2.37, 11.6683 / 2.37), rel=1e-4)
    assert garwood(5, 0.0) is None


@given(st.integers(1, 3000))
def test_garwood_ends_leave_a_fortieth_in_each_tail(n: int) -> None:
    interval = garwood(n, 1.0)
    assert interval is not None
    assert stats.poisson.sf(n - 1, interval[0]) == pytest.approx(0.025, rel=1e-6)
    assert stats.poisson.cdf(n, interval[1]) == pytest.approx(0.025, rel=1e-6)


def enumerated(p: list[float]) -> list[float]:
    """Probability of each count, over all outcomes one by one."""
    total = [0.0] * (len(p) + 1)
    for outcome in itertools.product((0, 1), repeat=len(p)):
        total[sum(outcome)] += math.prod(q if happens else 1 - q for q, happens in zip(p, outcome, strict=True))
    return total


@given(probabilities)
def test_the_distribution_of_a_count_is_that_of_enumeration(p: list[float]) -> None:
    assert count_distribution(np.array(p)).tolist() == pytest.approx(enumerated(p), abs=1e-12)


@given(probabilities)
def test_the_expected_count_interval_is_that_of_enumeration(p: list[float]) -> None:
    reached = list(itertools.accumulate(enumerated(p)))
    low, high = (next(k for k, share in enumerate(reached) if share >= tail - 1e-9) for tail in (0.025, 0.975))
    assert poisson_binomial(p) == (low, high)


def test_equal_probabilities_are_binomial() -> None:
    assert poisson_binomial(np.full(400, 0.3)) == (stats.binom.ppf(0.025, 400, 0.3), stats.binom.ppf(0.975, 400, 0.3))


def test_a_hundred_thousand_figures_follow_the_normal_law() -> None:
    p = np.random.default_rng(3).beta(0.4, 2.0, 100_000)
    half = 1.959964 * math.sqrt((p * (1 - p)).sum())
    assert poisson_binomial(p) == pytest.approx((p.sum() - half, p.sum() + half), abs=1.5)


def test_no_figures_have_no_expected_count_interval() -> None:
    assert poisson_binomial([]) is None


def test_rogan_gladen_undoes_known_errors() -> None:
    accuracy = Accuracy(sensitivity=0.8, specificity=0.9, n_positive=50, n_negative=300)
    observed = 0.2 * 0.8 + 0.8 * 0.1
    assert rogan_gladen(observed, accuracy) == pytest.approx(0.2)
    assert rogan_gladen(0.05, accuracy) == pytest.approx(-0.05 / 0.7)
    assert clip_share(-0.05 / 0.7) == 0.0
    assert clip_share(1.2) == 1.0


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.5, 0.5), (0.1, 0.8), (0.0, 1.0)])
def test_a_classifier_no_better_than_chance_corrects_nothing(sensitivity: float, specificity: float) -> None:
    accuracy = Accuracy(sensitivity, specificity, 50, 50)
    assert rogan_gladen(0.3, accuracy) is None
    assert rogan_gladen_interval(30, 100, accuracy, seed=0) is None


def test_the_corrected_interval_has_the_width_of_the_delta_method() -> None:
    accuracy = Accuracy(sensitivity=0.8, specificity=0.9, n_positive=400, n_negative=2000)
    interval = rogan_gladen_interval(480, 2000, accuracy, seed=1)
    assert interval is not None
    true_share, surplus = 0.2, 0.7
    variance = (
        0.24 * 0.76 / 2000 + true_share**2 * 0.8 * 0.2 / 400 + (1 - true_share) ** 2 * 0.9 * 0.1 / 2000
    ) / surplus**2
    assert sum(interval) / 2 == pytest.approx(true_share, abs=0.005)
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.05)


def test_the_corrected_interval_depends_on_the_seed_alone() -> None:
    accuracy = Accuracy(0.8, 0.9, 40, 200)
    assert rogan_gladen_interval(9, 60, accuracy, seed=5) == rogan_gladen_interval(9, 60, accuracy, seed=5)
    assert rogan_gladen_interval(9, 60, accuracy, seed=5) != rogan_gladen_interval(9, 60, accuracy, seed=6)


def test_perfect_rates_measured_on_few_stay_uncertain() -> None:
    few, many = (rogan_gladen_interval(30, 100, Accuracy(1.0, 1.0, n, n), seed=0) for n in (15, 15_000))
    assert few is not None
    assert many is not None
    assert few[1] - few[0] > 1.2 * (many[1] - many[0])
    assert many == pytest.approx(wilson(30, 100), abs=0.01)


@pytest.mark.parametrize(
    ("n", "accuracy"),
    [(0, Accuracy(0.8, 0.9, 50, 50)), (20, Accuracy(0.8, 0.9, 0, 50)), (20, Accuracy(0.6, 0.6, 5, 5))],
    ids=["no figures", "no atypical figure measured", "rates too uncertain"],
)
def test_an_interval_that_cannot_be_had_is_none(n: int, accuracy: Accuracy) -> None:
    assert rogan_gladen_interval(n // 4, n, accuracy, seed=0) is None
