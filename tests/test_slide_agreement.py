"""Slides' shares of AMF against the majority's, and the coverage of printed intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.labelled_predictions import labelled_predictions
from wsiamf.spec import ErrorRates
from wsiamf.summary.intervals import wilson
from wsiamf.training.figures.interval_coverage import HERE, MODEL, WHOLE, interval_coverage, verdicts
from wsiamf.training.figures.labelled_rows import check_rows
from wsiamf.training.figures.resampling import whole_sample
from wsiamf.training.figures.slide_agreement import (
    class_name,
    class_of_n,
    held_out_slides,
    rows_of_slides,
    slide_agreement,
    weighted_agreement,
)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return check_rows(labelled_predictions(n_slides=40))


@pytest.fixture(scope="module")
def coverage(table: pd.DataFrame) -> pd.DataFrame:
    return interval_coverage(table)


def row_of(found: pd.DataFrame, **wanted: object) -> pd.Series:
    rows = found
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


class TestSlides:
    def test_a_slide_is_its_rows(self, table: pd.DataFrame) -> None:
        slides = held_out_slides(table)
        assert len(slides) == 40
        for number, rows in enumerate(rows_of_slides(table)):
            slide, own = slides.iloc[number], table.iloc[rows]
            assert set(own["slide"]) == {slide["slide"]}
            assert (slide["n"], slide["n_amf"]) == (len(own), own["amf"].sum())
            assert slide["fraction_count"] == pytest.approx((own["p_atypical"] >= 0.5).mean())
            assert slide["expected"] == pytest.approx(own["p_atypical"].mean())

    def test_rows_without_a_slide_are_left_out(self, table: pd.DataFrame) -> None:
        slides = held_out_slides(table.assign(slide=table["slide"].where(table["fold"] == 1)))
        assert 0 < len(slides) < 40
        nothing = table.assign(slide=None)
        assert held_out_slides(nothing).empty
        assert slide_agreement(held_out_slides(nothing)).empty
        assert interval_coverage(nothing).empty

    def test_several_networks_on_the_same_crops_are_several_slides(self, table: pd.DataFrame) -> None:
        twice = pd.concat([table.assign(fold=1), table.assign(fold=2)], ignore_index=True)
        slides = held_out_slides(twice)
        assert len(slides) == 80
        assert slides["n"].sum() == 2 * len(table)

    def test_figures_by_hand(self) -> None:
        said, observed = np.array([0.1, 0.4, 0.6]), np.array([0.2, 0.2, 0.5])
        bias, error, concordance = weighted_agreement(said, observed, whole_sample(3))[0]
        assert bias == pytest.approx(0.2 / 3)
        assert error == pytest.approx(0.4 / 3)
        covariance = np.cov(said, observed, bias=True)
        expected = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (said.mean() - observed.mean()) ** 2)
        assert concordance == pytest.approx(expected)

    def test_concordance_is_1_for_equal_and_falls_with_a_shift(self) -> None:
        x = np.linspace(0, 0.8, 9)
        assert weighted_agreement(x, x, whole_sample(9))[0, 2] == pytest.approx(1)
        assert weighted_agreement(x + 0.2, x, whole_sample(9))[0, 2] < 0.8
        assert np.isnan(weighted_agreement(np.full(9, 0.3), np.full(9, 0.3), whole_sample(9))[0, 2])

    def test_agreement_by_least_number_of_figures(self, table: pd.DataFrame) -> None:
        slides = held_out_slides(table)
        found = slide_agreement(slides)
        for least in (1, 5, 10, 20):
            row = row_of(found, predicted="expected", min_figures=least)
            some = slides[slides["n"] >= least]
            assert row["n_slides"] == len(some)
            assert row["bias"] == pytest.approx((some["expected"] - some["amf_fraction"]).mean())
            assert row["bias_low"] <= row["bias"] <= row["bias_high"]
            assert row["concordance_low"] <= row["concordance"] <= row["concordance_high"]

    def test_classes_of_n(self) -> None:
        places = class_of_n([1, 4, 5, 9, 10, 19, 20, 500])
        assert [class_name(place) for place in places] == ["1-4", "1-4", "5-9", "5-9", "10-19", "10-19", "20+", "20+"]


class TestIntervalCoverage:
    def test_an_interval_of_calibrated_probabilities_covers_the_count(self, coverage: pd.DataFrame) -> None:
        row = row_of(coverage, interval="n_amf_expected_interval95", figures="all")
        assert row["coverage"] > 0.9
        assert row["n_slides"] == 40

    def test_wilson_covers_what_it_claims(self, coverage: pd.DataFrame) -> None:
        claimed = coverage[(coverage["interval"] == "amf_fraction_sampling_interval") & (coverage["truth"] == MODEL)]
        assert claimed["claimed"].all()
        assert (claimed["coverage"] > 0.92).all()

    def test_wilson_here_equals_counting(self, table: pd.DataFrame, coverage: pd.DataFrame) -> None:
        covered = []
        for rows in rows_of_slides(table):
            called, amf = (table["p_atypical"][rows] >= 0.5).sum(), table["amf"][rows].mean()
            low, high = wilson(int(called), len(rows)) or (0, 0)
            covered.append(low - 1e-6 <= amf <= high + 1e-6)
        row = row_of(
            coverage, interval="amf_fraction_sampling_interval", threshold_name="count", truth=HERE, figures="all"
        )
        assert row["coverage"] == pytest.approx(np.mean(covered))

    def test_whole_slide_equals_simulation(self) -> None:
        made = labelled_predictions(n_slides=1)
        one = pd.concat([made.sample(40, random_state=0)] * 5, ignore_index=True)
        one["slide"] = np.repeat([f"{k}.tiff" for k in range(5)], 40)  # five equal slides: enough to be measured
        one["file"] = [f"{row}.png" for row in range(len(one))]
        one["group"] = one["slide"]
        found = interval_coverage(check_rows(one.drop(columns="fold")))
        row = row_of(
            found,
            interval="amf_fraction_sampling_interval",
            threshold_name="count",
            truth=WHOLE,
            figures="10-19 (drawn: 15)",
        )
        called, truth = (one["p_atypical"][:40] >= 0.5).mean(), one["amf"][:40].mean()
        draws = stats.binom(15, called).rvs(4000, random_state=1)
        limits = [wilson(int(k), 15) or (0, 0) for k in draws]
        assert row["coverage"] == pytest.approx(np.mean([low <= truth <= high for low, high in limits]), abs=0.02)

    def test_a_classifier_that_over_calls_loses_the_majority(self, table: pd.DataFrame) -> None:
        found = interval_coverage(table.assign(threshold_count=0.05))
        judged = verdicts(found)
        here = row_of(judged, interval="amf_fraction_sampling_interval", threshold_name="count", truth=HERE)
        claimed = row_of(judged, interval="amf_fraction_sampling_interval", threshold_name="count", truth=MODEL)
        assert here["lowest_coverage"] < 0.5
        assert not here["may_be_called_95"]
        assert claimed["may_be_called_95"]

    def test_the_models_own_error_rates_are_taken(self, table: pd.DataFrame) -> None:
        rates = [
            ErrorRates(domain=name, threshold="count", n_amf=50, n_nmf=50, sensitivity=one, specificity=other)
            for name, one, other in (("a", 0.99, 0.6), ("b", 0.6, 0.99))
        ]
        wide = interval_coverage(table, error_rates=rates)
        wanted = {"interval": "amf_fraction_error_range", "threshold_name": "count", "truth": HERE, "figures": "all"}
        assert row_of(wide, **wanted)["mean_width"] > 0.2
        assert row_of(wide, **wanted | {"threshold_name": "balanced"})["n_slides"] == 0

    def test_too_few_slides_have_no_coverage(self) -> None:
        found = interval_coverage(check_rows(labelled_predictions(n_slides=3)))
        assert found["status"].str.contains("fewer than 5 slides").all()
        judged = verdicts(found)
        assert judged["status"].str.startswith("not measured").all()
