"""The arithmetic below the review's estimates, held against worked examples and against formulas written out anew."""

from __future__ import annotations

import numpy as np
import pytest

from wsiamf.review.sampling import Sample, Spread, share_interval
from wsiamf.summary.intervals import wilson


def sample_of(sampled: np.ndarray, case: np.ndarray, auxiliary: np.ndarray | None = None) -> Sample:
    """A sample without certain figures."""
    n = len(sampled)
    return Sample(np.empty((n, 0)) if auxiliary is None else auxiliary, np.zeros(n, dtype=bool), sampled, case)


def test_calibrated_weights_reproduce_what_is_known_of_all_figures() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random(200), rng.normal(size=200), np.full(200, 3.0)])
    certain, sampled = np.arange(200) < 20, np.arange(200) >= 160
    sample = Sample(x, certain, sampled, np.arange(200) // 10)
    for column in (np.ones(200), x[:, 0], x[:, 1]):
        assert sample.total(column) == pytest.approx(column.sum())
        assert sample.spread(column, unit=0.0).variance == pytest.approx(0.0, abs=1e-9)
    assert sample.freedom == 40 - 3


def test_without_helpers_the_variance_is_that_of_a_simple_random_sample() -> None:
    y = (np.arange(100) % 3 == 0).astype(float)
    sampled = np.arange(100) % 4 == 0
    sample = sample_of(sampled, np.zeros(100, dtype=np.int64))
    expected = 100**2 * (1 - 0.25) * y[sampled].var(ddof=1) / 25
    assert sample.spread(y, unit=0.0).variance == pytest.approx(expected)
    assert sample.total(y) == pytest.approx(4 * y[sampled].sum())


def test_with_a_helper_the_variance_is_that_of_the_formula() -> None:
    """V = R^2 (1 - n / R) (sum of (g e)^2 + 1) / (n - Q) / n, with g and e from the helper as it is, not standardised."""
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 12.0, 20.0])
    y = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    s = np.arange(8) < 5  # small values of the helper alone, so that the weights are far from equal
    found = sample_of(s, np.zeros(8, dtype=np.int64), x[:, np.newaxis]).spread(y)
    with_constant, d = np.column_stack([np.ones(8), x]), 8 / 5
    x_s = with_constant[s]
    normal = np.linalg.inv(x_s.T @ x_s)
    g = 1 + x_s @ (normal / d) @ (with_constant.sum(axis=0) - d * x_s.sum(axis=0))
    e = y[s] - x_s @ normal @ x_s.T @ y[s]
    assert np.ptp(g) > 1
    assert found.variance == pytest.approx(8**2 * (1 - 5 / 8) * (((g * e) ** 2).sum() + 1) / (5 - 2) / 5)
    assert found.freedom == 5 - 2


@pytest.mark.parametrize(
    ("n_cases", "variance", "freedom"),
    [
        (
            10,
            (60 / 20) ** 2 * (1 - 20 / 60) * 10 / 9 * (10 + 1),
            9,
        ),  # ten sums of residuals, -1 or 1, and one pseudo-error
        (5, 60**2 * (1 - 20 / 60) * (5 + 1) / 19 / 20, 19),  # twenty residuals, -0.5 or 0.5, and one pseudo-error
    ],
)
def test_where_ten_cases_were_sampled_their_sums_count_if_wider(n_cases: int, variance: float, freedom: float) -> None:
    figure = np.arange(60)
    case = figure % n_cases
    y = (case % 2 == 0).astype(float) if n_cases == 10 else (figure % 20 < 10).astype(float)
    found = sample_of(figure < 20, case).spread(y)
    assert found.variance == pytest.approx(variance)
    assert found.freedom == freedom


def test_cases_drawn_anew_vary_by_what_is_known_and_by_what_is_estimated_of_each() -> None:
    """Of ten cases with four figures, two of each sampled: a mean of 0.5, and 2 (+/- 0.5) for each sampled one."""
    figure = np.arange(40)
    case = figure % 10
    spread = sample_of(figure < 20, case).spread_of_cases((case % 2 == 0).astype(float), unit=1.0)
    assert spread is not None
    assert spread.variance == pytest.approx(10 / 9 * (10 * 2**2 + 1))  # sums of 0 and 4, mean 2
    assert spread.freedom == pytest.approx(9)


def test_where_one_case_differs_few_cases_bear_on_it() -> None:
    everything = np.ones(10, dtype=bool)
    y = np.eye(10)[0]
    spread = Sample(np.empty((10, 0)), everything, ~everything, np.arange(10)).spread_of_cases(y, unit=1.0)
    assert spread is not None
    assert spread.variance == pytest.approx(10 / 9 * (0.81 + 9 * 0.01 + 1))
    assert spread.freedom == pytest.approx((10 * 0.9**2 / (0.81**2 + 9 * 0.01**2)) ** 0.5 - 1)
    nine = Sample(np.empty((9, 0)), everything[:9], ~everything[:9], np.arange(9))
    assert nine.spread_of_cases(y[:9], unit=1.0) is None


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_intervals_of_shares_stay_within_nought_and_one(share: float) -> None:
    low, high = share_interval(share, Spread(0.01**2, 98), 99)
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.01
    assert share_interval(share, Spread(0.0, 5), 9) == (share, share)


@pytest.mark.parametrize("n_positive", [0, 1, 7, 20])
def test_the_interval_of_a_share_is_wilsons_where_its_variance_is_a_binomials(n_positive: int) -> None:
    near = (n_positive + 1) / (20 + 2)
    spread = Spread(near * (1 - near) / 20, 1e9)  # so much freedom that t is the normal's quantile
    assert share_interval(n_positive / 20, spread, 20) == pytest.approx(wilson(n_positive, 20))
