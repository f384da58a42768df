"""Figures of many cases: counts by hand, intervals from whole cases, null with a reason where there can be none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.conftest import ROOT
from tests.test_cases import failed, slide_row
from wsiamf.cohort.bootstrap import (
    COVERAGE,
    drawn_totals,
    effective_cases,
    ratio_interval,
    why_no_interval,
    widened_tail,
)
from wsiamf.cohort.cases import gather_cases
from wsiamf.cohort.pooled import figure_fields, flow_fields, stratum_fields
from wsiamf.files import dump_json
from wsiamf.summary.intervals import MIN_CASES

COUNTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=25)
SHARES = ("pooled_amf_fraction", "mean_of_case_amf_fractions", "pooled_amf_fraction_expected")


def cohort(counts: list[tuple[int, int]], **values: Any) -> list[dict[str, Any]]:
    """A slide a case with these counts of AMF and NMF."""
    return [
        slide_row(f"s{k}", f"c{k}", *pair, n_amf_expected=float(pair[0]), **values) for k, pair in enumerate(counts)
    ]


def twenty_cases() -> list[tuple[int, int]]:
    random = np.random.default_rng(3)
    n = random.integers(5, 60, 20)
    return [(int(amf), int(all_ - amf)) for amf, all_ in zip(random.binomial(n, 0.25), n, strict=True)]


def measured_coverage() -> dict[str, list[float]]:
    """Coverage with ten cases or more, of whole sets, of single tumours, and Wilson's, as the benchmark's page has it."""
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    own = text.split("## Coverage of a cohort's intervals")[1].split("\n## ")[0]
    lines = [line for line in own.splitlines() if "| pooled |" in line or "| mean of cases |" in line]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    found: dict[str, list[float]] = {"whole": [], "tumour": [], "Wilson": []}
    for name, _figure, _five, _eight, *enough, _percentile, _bca, _bootstrap_t, wilsons in rows:
        kind = "whole" if name.startswith(("AMi-Br", "MIDOG")) else "tumour"
        found[kind] += [float(cell) for cell in enough if cell]
        found["Wilson"] += [float(cell) for cell in wilsons.split(" to ") if cell]
    return found


class TestFigures:
    @settings(max_examples=60, deadline=None)
    @given(COUNTS)
    def test_counts_by_hand(self, counts: list[tuple[int, int]]) -> None:
        found = stratum_fields(gather_cases(cohort(counts)), seed=0)
        n_amf, n = sum(amf for amf, _ in counts), sum(amf + nmf for amf, nmf in counts)
        having = [amf / (amf + nmf) for amf, nmf in counts if amf + nmf]
        assert (found["n_ok"], found["n_amf"], found["n_nmf"]) == (n, n_amf, n - n_amf)
        assert found["n_cases_with_figures"] == len(having)
        if not n:
            assert [found[name] for name in SHARES] == [None] * 3
            return
        assert found["pooled_amf_fraction"] == pytest.approx(n_amf / n, rel=1e-5)
        assert found["mean_of_case_amf_fractions"] == pytest.approx(np.mean(having), rel=1e-5)
        for name in SHARES:
            interval = found[f"{name}_interval95"]
            assert (interval is None) == (found[f"{name}_interval95_status"] != "ok")
            if interval is not None:
                assert 0 <= interval["low"] <= found[name] + 1e-6
                assert found[name] - 1e-6 <= interval["high"] <= 1
        dump_json(found)

    def test_case_weights_differ(self) -> None:
        found = stratum_fields(gather_cases(cohort([(10, 0), (0, 90)])), seed=0)
        assert (found["pooled_amf_fraction"], found["mean_of_case_amf_fractions"]) == (0.1, 0.5)

    def test_slides_of_a_case_are_one_unit(self) -> None:
        rows = [row | {"case_id": f"c{k // 4}"} for k, row in enumerate(cohort(twenty_cases() * 2))]
        found = stratum_fields(gather_cases(rows), seed=0)
        assert (found["n_slides"], found["n_cases"]) == (40, 10)
        assert found["pooled_amf_fraction_interval95"]["n_cases"] == 10

    def test_no_wilson_over_pooled_figures(self) -> None:
        text = dump_json(figure_fields(gather_cases(cohort(twenty_cases(), tumor="breast")), seed=0))
        assert "interval95" in text
        assert "Wilson" not in text
        assert "sampling_interval" not in text

    def test_equal_seeds_equal_intervals_whatever_the_order(self) -> None:
        rows = cohort(twenty_cases())
        first, second = (figure_fields(gather_cases(some), seed=5) for some in (rows, rows[::-1]))
        assert first == second


class TestNoInterval:
    def test_one_case(self) -> None:
        found = stratum_fields(gather_cases(cohort([(5, 20)])), seed=0)
        assert found["pooled_amf_fraction"] == 0.2
        for name in SHARES:
            assert found[f"{name}_interval95"] is None
            assert found[f"{name}_interval95_status"] == "not estimable: fewer than 10 cases with figures"

    def test_the_least_number_counts_cases_with_figures(self) -> None:
        nine = [(k, 10) for k in range(1, MIN_CASES)]
        without = stratum_fields(gather_cases(cohort([*nine, (0, 0)])), seed=0)
        assert without["pooled_amf_fraction_interval95"] is None
        assert stratum_fields(gather_cases(cohort([*nine, (0, 10)])), seed=0)["pooled_amf_fraction_interval95"]

    def test_equal_shares_tell_nothing_of_their_spread(self) -> None:
        found = stratum_fields(gather_cases(cohort([(0, 10)] * 12)), seed=0)
        assert found["pooled_amf_fraction"] == 0.0
        assert "same share" in found["pooled_amf_fraction_interval95_status"]

    def test_one_case_that_outweighs_all(self) -> None:
        counts = [(k % 2, 1) for k in range(12)] + [(900, 900)]
        found = stratum_fields(gather_cases(cohort(counts)), seed=0)
        assert "too few cases bear on it" in found["pooled_amf_fraction_interval95_status"]
        assert found["mean_of_case_amf_fractions_interval95"] is not None


class TestStrata:
    def test_by_group_and_what_is_not_stated(self) -> None:
        rows = [
            *cohort([(1, 9), (2, 8)], group="b"),
            slide_row("x", "x", 5, 5, group="a"),
            slide_row("y", "y", 0, 4),
        ]
        found = figure_fields(gather_cases(rows), seed=0)
        assert [(one["group"], one["n_ok"], one["n_amf"]) for one in found["by_group"]] == [
            ("a", 10, 5),
            ("b", 20, 3),
            (None, 4, 0),
        ]
        assert found["by_tumor"] is None
        assert found["by_tumor_status"] == "the manifest states no tumor"

    def test_a_case_of_two_scanners_is_split_by_slide_and_of_two_tumours_is_mixed(self) -> None:
        rows = [
            slide_row("s1", "A", 1, 9, scanner="S1", tumor="lung"),
            slide_row("s2", "A", 3, 7, scanner="S2", tumor="breast"),
            slide_row("s3", "B", 2, 8, scanner="S2", tumor="lung"),
        ]
        found = figure_fields(gather_cases(rows), seed=0)
        assert [(one["scanner"], one["n_cases"], one["n_amf"]) for one in found["by_scanner"]] == [
            ("S1", 1, 1),
            ("S2", 2, 5),
        ]
        assert [(one["tumor"], one["n_amf"]) for one in found["by_tumor"]] == [("lung", 2), ("mixed", 4)]
        assert found["overall"]["n_ok"] == 30

    def test_incomplete_cases_count_and_are_left_out_beside_it(self) -> None:
        rows = [slide_row("s1", "A", 1, 9), failed("s2", "A"), slide_row("s3", "B", 5, 5)]
        found = figure_fields(gather_cases(rows), seed=0)
        assert (found["overall"]["n_ok"], found["overall"]["n_cases_incomplete"]) == (20, 1)
        assert (found["overall_complete_cases"]["n_ok"], found["overall_complete_cases"]["n_cases"]) == (10, 1)

    def test_flow(self) -> None:
        rows = [
            slide_row("s1", "A", 4, 8, backend="openvino"),
            slide_row("s2", "A", 1, 1, backend="openvino"),
            slide_row("s3", "B", 0, 0, backend="openvino", n_candidates=3),
            failed("s4", "C"),
        ]
        flow = flow_fields(rows, gather_cases(rows))
        assert list(flow.values()) == [4, 1, 3, 3, 2, 1, 3, 1, 1]


class TestMeasuredCoverage:
    """What is said of the intervals is what was measured (``benchmarks/cohort_coverage.py``)."""

    def test_enough_to_be_called_95(self) -> None:
        measured = measured_coverage()
        assert (len(measured["whole"]), len(measured["tumour"])) == (40, 28)
        assert min(measured["whole"] + measured["tumour"]) >= 0.90

    def test_the_words(self) -> None:
        ranges = {kind: f"{min(values):.2f} to {max(values):.2f}" for kind, values in measured_coverage().items()}
        assert f"{ranges['whole']} on AMi-Br" in COVERAGE
        assert f"{ranges['tumour']} on single tumours" in COVERAGE
        assert f"covers {ranges['Wilson']} of them" in COVERAGE
        assert f"{MIN_CASES} to 80 cases" in COVERAGE


class TestBootstrap:
    def test_totals_are_those_of_whole_cases_drawn_together(self) -> None:
        values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
        drawn = drawn_totals(values, seed=1, n_draws=4000)
        assert drawn.shape == (4000, 2)
        np.testing.assert_allclose(drawn[:, 1], 10 * drawn[:, 0])
        assert drawn[:, 0].mean() == pytest.approx(7, abs=0.1)
        assert set(drawn[:, 0]) == {3, 4, 5, 6, 7, 8, 9, 10, 12}

    def test_draws_taken_in_parts_are_all_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = np.arange(10.0)[:, None]
        monkeypatch.setattr("wsiamf.cohort.bootstrap._CELLS", 70)
        assert drawn_totals(values, seed=1, n_draws=24).shape == (24, 1)

    def test_the_tail_is_students(self) -> None:
        assert widened_tail(1e7) == pytest.approx(0.025, abs=1e-6)
        expected = stats.norm.cdf(stats.t.ppf(0.025, 9) * np.sqrt(10 / 9))
        assert widened_tail(10) == pytest.approx(expected)
        assert widened_tail(3) < widened_tail(10) < 0.025

    def test_effective_number(self) -> None:
        ones = np.ones(8)
        assert effective_cases(np.tile([0.0, 1.0], 4), ones) == pytest.approx(8)
        assert effective_cases(np.zeros(8), ones) == 0
        one_that_differs = np.array([1.0] + [0.0] * 7)
        assert effective_cases(one_that_differs, ones) < 4
        assert why_no_interval(8, 8.0) is not None
        assert why_no_interval(MIN_CASES, 8.0) is None

    def test_intervals_of_drawn_cohorts_hold_the_truth(self) -> None:
        """Cases whose shares and sizes differ as slides' do; fixed seeds, so that this fails or passes for good."""
        random = np.random.default_rng(0)
        held = 0
        for seed in range(200):
            n = random.integers(1, 60, 12).astype(float)
            share = random.beta(2, 6, 12)
            amf = random.binomial(n.astype(int), share).astype(float)
            drawn = drawn_totals(np.column_stack([amf, n]), seed=seed, n_draws=1000)
            low, high = ratio_interval(drawn[:, 0] / drawn[:, 1], effective_cases(amf, n))
            held += low <= 0.25 <= high
        assert held >= 185
