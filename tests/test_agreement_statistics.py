"""The statistics of agreement against the worked examples of those who published them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from wsiamf.agreement.statistics import bland_altman, icc_2_1, weighted_kappa

# Bland and Altman, Lancet 1986: first readings of 17 people with the Wright and the mini peak flow meter, l/min
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]

# Shrout and Fleiss, Psychol Bull 1979, table 2: 6 targets, 4 judges
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]

# SAS PROC FREQ's answer for this table (linear weights), which statsmodels' tests quote
KAPPA_TABLE = [[0, 4, 1], [0, 8, 0], [0, 1, 5]]


class TestBlandAltman:
    def test_peak_flow(self) -> None:
        found = bland_altman(np.subtract(WRIGHT, MINI))
        assert found is not None
        assert found.bias == pytest.approx(-2.1, abs=0.05)
        assert found.sd == pytest.approx(38.8, abs=0.05)
        # the paper takes the limits at 2 sd, here 1.96
        assert found.lower == pytest.approx(-79.7 + 0.04 * 38.8, abs=0.1)
        assert found.upper == pytest.approx(75.5 - 0.04 * 38.8, abs=0.1)
        assert found.bias_interval == pytest.approx((-22.0, 17.8), abs=0.1)
        low, high = found.lower_interval
        assert (low - found.lower, high - found.lower) == pytest.approx((-34.6, 34.6), abs=0.15)
        low, high = found.upper_interval
        assert (low - found.upper, high - found.upper) == pytest.approx((-34.6, 34.6), abs=0.15)

    def test_too_few(self) -> None:
        assert bland_altman([1.0, 2.0]) is None


class TestIcc:
    def test_shrout_and_fleiss(self) -> None:
        found = icc_2_1(JUDGES)
        assert found is not None
        assert found.interval is not None
        assert found.value == pytest.approx(0.29, abs=0.005)
        assert found.interval == pytest.approx((0.019, 0.761), abs=0.0005)  # as R's psych::ICC gives them

    def test_whole_agreement_has_no_interval(self) -> None:
        found = icc_2_1([[1, 1], [4, 4], [9, 9]])
        assert found is not None
        assert (found.value, found.interval, found.reason) == (1.0, None, "the counts agree wholly")

    @pytest.mark.parametrize(
        ("ratings", "reason"),
        [
            ([[0, 5], [3, 8], [6, 11]], "no error variance: the raters differ by a constant"),
            ([[0, 0, 3], [0, 0, 4], [0, 3, 0]], "fewer than one degree of freedom"),
        ],
    )
    def test_why_there_is_no_interval(self, ratings: list[list[int]], reason: str) -> None:
        found = icc_2_1(ratings)
        assert found is not None
        assert (found.interval, found.reason) == (None, reason)

    def test_a_constant_bias_counts_as_disagreement(self) -> None:
        found = icc_2_1([[0, 5], [3, 8], [6, 11]])
        assert found is not None
        assert found.value == pytest.approx(
            9 / (9 + 25 / 2)
        )  # var(targets) over that and the variance of the raters' means

    @pytest.mark.parametrize("ratings", [[[1, 2], [3, 4]], [[5, 5], [5, 5], [5, 5]], [[1], [2], [3]]])
    def test_not_estimable(self, ratings: list[list[int]]) -> None:
        assert icc_2_1(ratings) is None

    @given(st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=3, max_size=20))
    @example([(0, 0, 3), (0, 0, 4), (0, 0, 4), (0, 3, 1)])
    @example([(0, 0, 3), (0, 0, 4), (0, 3, 0)])
    def test_the_interval_holds_the_value(self, ratings: list[tuple[int, int, int]]) -> None:
        found = icc_2_1(ratings)
        if found is None or found.interval is None:
            return
        low, high = found.interval
        assert low <= found.value + 1e-9
        assert found.value <= high + 1e-9
        assert found.value <= 1


class TestKappa:
    def test_sas(self) -> None:
        found = weighted_kappa(KAPPA_TABLE, power=1)
        assert found is not None
        assert found.interval is not None
        assert found.value == pytest.approx(0.4701, abs=5e-5)
        assert found.interval == pytest.approx((0.1845, 0.7558), abs=1e-4)

    def test_two_bands_are_plain_kappa(self) -> None:
        # Cohen's own arithmetic: observed 0.7, by chance 0.5
        table = [[20, 5], [10, 15]]
        for power in (1, 2):
            found = weighted_kappa(table, power=power)
            assert found is not None
            assert found.value == pytest.approx((0.7 - 0.5) / (1 - 0.5))

    def test_quadratic_weights_forgive_near_misses(self) -> None:
        near, far = [[5, 1, 0], [0, 5, 1], [0, 0, 5]], [[5, 0, 1], [0, 5, 0], [1, 0, 5]]
        values = [[weighted_kappa(table, power=power) for power in (1, 2)] for table in (near, far)]
        assert values[0][1].value > values[0][0].value  # type: ignore[union-attr]
        assert values[1][1].value < values[1][0].value  # type: ignore[union-attr]

    @pytest.mark.parametrize("table", [[[3, 0], [0, 7]], [[6, 0, 0], [0, 11, 0], [0, 0, 5]], np.diag([4, 9, 7, 1])])
    @pytest.mark.parametrize("power", [1, 2])
    def test_whole_agreement_has_no_interval(self, table: ArrayLike, power: int) -> None:
        found = weighted_kappa(table, power=power)
        assert found is not None
        assert (found.value, found.interval, found.reason) == (1.0, None, "the counts agree wholly")

    def test_whole_disagreement_has_no_variance(self) -> None:
        found = weighted_kappa([[0, 7], [7, 0]])
        assert found is not None
        assert (found.value, found.interval, found.reason) == (-1.0, None, "the large-sample variance is nought")

    @pytest.mark.parametrize("table", [[[1, 0], [0, 1]], [[9, 0], [0, 0]], [[9]]])
    def test_not_estimable(self, table: list[list[int]]) -> None:
        assert weighted_kappa(table) is None
