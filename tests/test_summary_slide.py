"""``summary.json`` against counts and quotients worked out by hand, and its promise of no NaN on any table."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.predictions import arrow_table
from wsiamf.regions import Region
from wsiamf.spec import ErrorRates
from wsiamf.statuses import BAD_POINT, DUPLICATE, OK, STATUSES
from wsiamf.summary import SummaryRules, apply_thresholds, rank_for_review, summarize
from wsiamf.summary.slide_summary import SCHEMA

MPP = 0.25
FRAME = SlideFrame(width=40_000, height=40_000, mpp=MPP, bounds=Bounds(1_000, 2_000, 30_000, 30_000))
REGION = Region(shapely.MultiPolygon([shapely.box(0, 0, 20_000, 20_000)]), "roi")  # 5 x 5 mm
SMALL = Region(shapely.MultiPolygon([shapely.box(0, 0, 4_000, 4_000)]), "tissue")  # 1 mm2
EMPTY = Region(shapely.MultiPolygon(), "tissue")
BREAST = ErrorRates(domain="breast", threshold="count", n_amf=100, n_nmf=400, sensitivity=0.7, specificity=0.9)
MAST_CELL = ErrorRates(domain="mast cell", threshold="count", n_amf=80, n_nmf=500, sensitivity=0.6, specificity=0.98)
USELESS = ErrorRates(domain="smears", threshold="count", n_amf=20, n_nmf=20, sensitivity=0.4, specificity=0.6)
RULES = SummaryRules(
    threshold=0.4,
    threshold_name="count",
    hard_threshold=0.5,
    definition="ami-br-2025",
    error_rates=(BREAST, MAST_CELL),
    experts=("ami-br/1", "ami-br/2"),
)
FACTS = {"name": "a.svs", "mpp": MPP, "mpp_source": "aperio.MPP"}


def predictions(n: int, **values: Any) -> pd.DataFrame:
    """Counted rows on a diagonal 100 px apart, all certain NMF, but for what a test sets."""
    place = 500.0 + 100 * np.arange(n)
    columns: dict[str, Any] = {
        "candidate_id": [str(row) for row in range(1, n + 1)],
        "uuid": "",
        "source_row": np.arange(n),
        "source_label": None,
        "x": place,
        "y": place,
        "score": 0.5,
        "status": OK,
        "duplicate_of": None,
        "p_atypical": 0.0,
        "p_hard": 0.0,
        "p_atypical_expert_1": 0.0,
        "p_atypical_expert_2": 0.0,
        "crop_coverage": 1.0,
        **values,
    }
    table = pd.DataFrame(columns, index=range(n))
    x, y = table["x"].astype("float64"), table["y"].astype("float64")
    return table.assign(x=x, y=y, x_um=x * MPP, y_um=y * MPP, x_qupath=x - 1000, y_qupath=y - 2000)


def summary_of(
    table: pd.DataFrame, region: Region = REGION, rules: SummaryRules = RULES, flags: tuple[str, ...] = ()
) -> tuple[dict[str, Any], pd.DataFrame]:
    labelled = apply_thresholds(table, threshold=rules.threshold, hard_threshold=rules.hard_threshold)
    return summarize(labelled, FRAME, region, rules, slide_facts=FACTS, flags=flags)


def ends(interval: dict[str, Any]) -> tuple[float, float]:
    return interval["low"], interval["high"]


def test_thresholds_are_at_or_above_and_null_stays_null() -> None:
    table = predictions(4, p_atypical=[0.4, 0.39999, None, 1.0], p_hard=[None, 0.5, 0.49, 0.6])
    labelled = apply_thresholds(table, threshold=0.4, hard_threshold=0.5)
    assert labelled["label"].isna().tolist() == [False, False, True, False]
    assert labelled["label"].dropna().tolist() == ["AMF", "NMF", "AMF"]
    assert labelled["hard"].isna().tolist() == [True, False, False, False]
    assert labelled["hard"].dropna().tolist() == [True, False, True]
    assert "label" not in table


def test_counts_shares_and_their_intervals() -> None:
    """4 AMF of 21: the published 7.7 to 40.0 %."""
    p = [0.9, 0.8, 0.7, 0.4] + [0.1] * 17
    summary, _ = summary_of(predictions(21, p_atypical=p, p_hard=[0.6] * 5 + [0.2] * 16))
    assert summary["schema"] == SCHEMA == "wsiamf.summary/1"
    assert (summary["n_candidates"], summary["n_ok"]) == (21, 21)
    assert (summary["n_amf"], summary["n_nmf"], summary["n_hard"]) == (4, 17, 5)
    assert summary["amf_fraction"] == pytest.approx(4 / 21, rel=1e-5)
    assert ends(summary["amf_fraction_sampling_interval"]) == pytest.approx((0.077, 0.400), abs=5e-4)
    assert "not the classifier's errors" in summary["amf_fraction_sampling_interval"]["covers"]
    assert summary["amf_to_nmf_ratio"] == pytest.approx(4 / 17, rel=1e-5)
    assert summary["n_amf_expected"] == pytest.approx(4.5)
    assert summary["amf_fraction_expected"] == pytest.approx(4.5 / 21, rel=1e-5)
    low, high = ends(summary["n_amf_expected_interval95"])
    assert ends(summary["amf_fraction_expected_interval95"]) == pytest.approx((low / 21, high / 21), rel=1e-5)
    assert summary["flags"] == []


def test_rows_that_do_not_count_are_counted_by_status_alone() -> None:
    status = [OK, DUPLICATE, OK, BAD_POINT]
    p = [0.9, 0.9, 0.1, None]
    summary, table = summary_of(predictions(4, status=status, p_atypical=p, x=[500.0, 500, 600, None]))
    assert (summary["n_candidates"], summary["n_ok"], summary["n_amf"]) == (4, 2, 1)
    assert summary["n_by_status"] == dict.fromkeys(STATUSES, 0) | {OK: 2, DUPLICATE: 1, BAD_POINT: 1}
    assert table["in_hotspot"].isna().tolist() == [False, True, False, True]


def test_each_expert_would_have_counted() -> None:
    experts = {"p_atypical_expert_1": [0.5, 0.49, 0.9, 0.0], "p_atypical_expert_2": None}
    summary, _ = summary_of(predictions(4, **experts))
    assert summary["experts"] == ["ami-br/1", "ami-br/2"]
    assert summary["amf_fraction_expert_1"] == 0.5
    assert summary["amf_fraction_expert_2"] is None
    assert summary["amf_fraction_expert_2_status"].startswith("not estimable")


def test_densities_are_per_mm2_with_exact_poisson_intervals() -> None:
    summary, _ = summary_of(predictions(10, p_atypical=[0.9] + [0.0] * 9))
    assert (summary["area_mm2"], summary["area_kind"]) == (25.0, "roi")
    assert summary["mf_per_mm2"] == 0.4
    assert ends(summary["mf_per_mm2_sampling_interval"]) == pytest.approx((4.795 / 25, 18.390 / 25), abs=1e-4)
    assert summary["amf_per_mm2"] == 0.04
    assert ends(summary["amf_per_mm2_sampling_interval"]) == pytest.approx((0.0253 / 25, 5.572 / 25), abs=1e-4)
    assert summary["mf_per_hotspot_area_on_average"] == pytest.approx(0.4 * 2.37)
    assert summary["n_ok_outside_area"] == 0


def test_figures_outside_the_area_are_named() -> None:
    summary, _ = summary_of(predictions(3, x=[100.0, 25_000, 26_000]))
    assert (summary["n_ok"], summary["n_ok_outside_area"]) == (3, 2)


def test_the_error_range_is_that_of_its_domains() -> None:
    """Rogan-Gladen by hand: (0.3 + 0.9 - 1) / 0.6 = 0.3333 and (0.3 + 0.98 - 1) / 0.58 = 0.4828."""
    summary, _ = summary_of(predictions(10, p_atypical=[0.9] * 3 + [0.0] * 7))
    found = summary["amf_fraction_error_range"]
    assert (found["low"], found["low_domain"]) == (0.333333, "breast")
    assert (found["high"], found["high_domain"]) == (0.482759, "mast cell")
    none, _ = summary_of(predictions(10))
    assert (none["amf_fraction_error_range"]["low"], none["amf_fraction_error_range"]["high"]) == (0.0, 0.0)


def test_an_error_range_that_cannot_be_had_says_why() -> None:
    for rates, words in (((), "states no error rates"), ((BREAST, USELESS), "at most 1 for smears")):
        summary, _ = summary_of(predictions(10), rules=replace(RULES, error_rates=rates))
        assert summary["amf_fraction_error_range"] is None
        assert words in summary["amf_fraction_error_range_status"]


def test_a_single_adjusted_figure_needs_rates_of_ones_own() -> None:
    table = predictions(10, p_atypical=[0.9] + [0.0] * 9)
    without, _ = summary_of(table)
    assert without["amf_fraction_error_adjusted"] is None
    assert "--error-rates" in without["amf_fraction_error_adjusted_status"]
    adjusted, _ = summary_of(table, rules=replace(RULES, own_error_rates=replace_specificity(BREAST, 0.85)))
    found = adjusted["amf_fraction_error_adjusted"]
    assert (found["unclipped"], found["clipped"]) == (pytest.approx(-0.05 / 0.55, rel=1e-5), 0.0)
    low, high = ends(found["unclipped_interval"])
    assert low < -0.05 / 0.55 < high
    assert ends(found["clipped_interval"]) == (0.0, max(0.0, high))
    assert found["error_rates"]["domain"] == "breast"


def replace_specificity(rates: ErrorRates, specificity: float) -> ErrorRates:
    return rates.model_copy(update={"specificity": specificity})


def test_no_figures_are_not_estimable_and_not_nought() -> None:
    for table in (predictions(0), predictions(2, status=DUPLICATE)):
        summary, _ = summary_of(table, rules=replace(RULES, own_error_rates=BREAST))
        for field in (
            *("amf_fraction", "amf_fraction_sampling_interval", "amf_to_nmf_ratio", "amf_fraction_expected"),
            *("amf_fraction_expert_1", "amf_fraction_error_range", "amf_fraction_error_adjusted"),
        ):
            assert summary[field] is None
            assert summary[f"{field}_status"].startswith("not estimable")
        assert summary["hotspots"] is None
        assert summary["flags"] == ["n<10", "not_estimable"]
        assert (summary["mf_per_mm2"], summary["n_hard"]) == (0.0, 0)


def test_flags_come_once_and_in_order() -> None:
    summary, _ = summary_of(predictions(9), flags=("upsampled", "n<10", "upsampled"))
    assert summary["flags"] == ["n<10", "upsampled"]


def test_a_model_without_a_hard_head_counts_no_hard_cases() -> None:
    summary, _ = summary_of(predictions(12, p_hard=None))
    assert summary["n_hard"] is None
    assert summary["n_hard_status"] == "the model has no hard/easy head"


def test_only_normal_figures_have_a_ratio_of_nought_only_atypical_ones_none() -> None:
    normal, _ = summary_of(predictions(12))
    assert normal["amf_to_nmf_ratio"] == 0.0
    atypical, _ = summary_of(predictions(12, p_atypical=1.0))
    assert atypical["amf_to_nmf_ratio"] is None
    assert atypical["amf_to_nmf_ratio_status"] == "not estimable: no figure is NMF"


def two_clusters() -> pd.DataFrame:
    """Six figures near (2000, 3000), one of them AMF; four near (12000, 14000), all AMF; one alone."""
    x = [2000.0, 2100, 2200, 2300, 2400, 2500, 12_000, 12_100, 12_200, 12_300, 11_000]
    y = [3000.0, 3500, 3100, 3600, 3200, 3700, 14_000, 14_500, 14_100, 14_600, 2_000]
    return predictions(11, x=x, y=y, p_atypical=[0.9] + [0.0] * 5 + [0.9] * 4 + [0.0], score=[0.25, 0.5] * 5 + [None])


def test_hotspots_are_described_in_every_frame() -> None:
    summary, table = summary_of(two_clusters())
    first, second, third = summary["hotspots"]
    assert summary["hotspots_status"] == "ok"
    assert [one["rank"] for one in (first, second, third)] == [1, 2, 3]
    assert [(one["n"], one["n_amf"], one["n_nmf"]) for one in (first, second, third)] == [
        (6, 1, 5),
        (4, 4, 0),
        (1, 0, 1),
    ]
    assert (first["x_px"], first["y_px"]) == (2000.0, 3000.0)
    assert (first["x_um"], first["y_um"]) == (500.0, 750.0)
    assert (first["x_qupath"], first["y_qupath"]) == (1000.0, 1000.0)
    assert first["width_px"] / first["height_px"] == pytest.approx(4 / 3, rel=1e-5)
    assert first["width_um"] * first["height_um"] == pytest.approx(2.37e6, rel=1e-5)
    assert (first["area_mm2"], first["share_in_area"]) == (2.37, 1.0)
    assert first["mean_score"] == 0.375
    assert (third["mean_score"], third["mean_score_status"]) == (None, "no figure has a detector score")
    assert table["in_hotspot"].tolist() == [True] * 6 + [False] * 5


def test_a_hotspots_numbers_are_marked_as_after_selection() -> None:
    summary, _ = summary_of(two_clusters())
    first, second, _ = summary["hotspots"]
    assert first["amf_fraction"] == pytest.approx(1 / 6, rel=1e-5)
    assert first["mf_per_mm2"] == pytest.approx(6 / 2.37, rel=1e-5)
    for name in ("amf_fraction_sampling_interval", "mf_per_mm2_sampling_interval", "amf_per_mm2_sampling_interval"):
        assert first[name]["after_selection"] is True
        assert "after_selection" not in summary[name]
    assert (second["amf_to_nmf_ratio"], second["amf_to_nmf_ratio_status"]) == (None, "not estimable: no figure is NMF")


def test_atypical_figures_do_not_draw_the_hotspot() -> None:
    """Both places hold three figures with equal scores; the upper one wins though the lower is all AMF."""
    x, y = [3000.0] * 3 + [12_000.0] * 3, [3000.0, 3100, 3200, 12_000, 12_100, 12_200]
    summary, _ = summary_of(predictions(6, x=x, y=y, p_atypical=[0.0] * 3 + [1.0] * 3))
    assert [one["n_amf"] for one in summary["hotspots"]] == [0, 3]
    assert summary["hotspots_status"] == "only 2 of 3 fit without overlap"


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (SMALL, "the area is smaller than a hotspot"),
        (EMPTY, "the area is smaller than a hotspot"),
        (Region(shapely.MultiPolygon([shapely.box(0, 0, 20_000, 2_000)]), "roi"), "no rectangle"),
    ],
    ids=["small", "empty", "thin"],
)
def test_where_no_hotspot_fits_there_is_none(region: Region, words: str) -> None:
    summary, table = summary_of(predictions(12), region)
    assert summary["hotspots"] is None
    assert words in summary["hotspots_status"]
    assert table["in_hotspot"].tolist() == [False] * 12


def test_an_empty_area_has_no_density() -> None:
    summary, _ = summary_of(predictions(12), EMPTY)
    assert (summary["area_mm2"], summary["mf_per_mm2"], summary["n_ok_outside_area"]) == (0.0, None, 12)
    assert summary["mf_per_mm2_status"] == "not estimable: the area is empty"


def test_a_smaller_hotspot_can_be_asked_for() -> None:
    summary, _ = summary_of(predictions(12), SMALL, replace(RULES, hotspot_mm2=0.1))
    assert summary["hotspots"][0]["width_um"] * summary["hotspots"][0]["height_um"] == pytest.approx(1e5, rel=1e-5)


def assert_nulls_have_reasons(value: Any) -> None:
    if isinstance(value, list):
        for one in value:
            assert_nulls_have_reasons(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if one is None:
                assert value[f"{name}_status"] not in {"", "ok"}
            elif f"{name}_status" in value:
                assert value[f"{name}_status"] == "ok" or name == "hotspots"
            assert_nulls_have_reasons(one)


probability = st.floats(0, 1)
row = st.fixed_dictionaries(
    {
        "x": st.floats(0, 20_000),
        "y": st.floats(0, 20_000),
        "score": st.none() | st.floats(-1e6, 1e6),
        "status": st.sampled_from([OK, OK, OK, DUPLICATE, BAD_POINT]),
        "p_atypical": probability,
        "p_hard": st.none() | probability,
        "p_atypical_expert_1": st.none() | probability,
    }
)
rates = st.builds(
    ErrorRates,
    domain=st.sampled_from(["a", "b"]),
    threshold=st.just("count"),
    n_amf=st.integers(0, 30),
    n_nmf=st.integers(0, 30),
    sensitivity=probability,
    specificity=probability,
)


@given(
    rows=st.lists(row, max_size=12),
    bundle=st.lists(rates, max_size=2),
    own=st.none() | rates,
    region=st.sampled_from([REGION, SMALL, EMPTY]),
)
@settings(max_examples=60, deadline=None)
def test_any_table_gives_json_without_nan_and_a_reason_for_every_null(
    rows: list[dict[str, Any]], bundle: list[ErrorRates], own: ErrorRates | None, region: Region
) -> None:
    table = predictions(len(rows), **{name: [one[name] for one in rows] for name in (rows[0] if rows else ())})
    rules = replace(RULES, error_rates=tuple(bundle), own_error_rates=own)
    summary, filled = summary_of(table, region, rules)
    text = json.dumps(summary, allow_nan=False)
    assert not re.search(r"-0\.0(?!\d)", text)
    assert_nulls_have_reasons(json.loads(text))
    assert summary["n_amf"] + summary["n_nmf"] == summary["n_ok"] == sum(one["status"] == OK for one in rows)
    inside = filled["in_hotspot"][filled["status"] == OK]
    assert inside.sum() == (summary["hotspots"][0]["n"] if summary["hotspots"] else 0)
    assert all(math.isfinite(value) for value in summary.values() if isinstance(value, float))


def test_the_order_of_rows_changes_no_byte() -> None:
    random = np.random.default_rng(1)
    columns = ("x", "y", "score", "p_atypical", "p_hard", "p_atypical_expert_1", "p_atypical_expert_2")
    drawn = {name: random.random(500) for name in columns}
    table = predictions(500, **{**drawn, "x": 20_000 * drawn["x"], "y": 20_000 * drawn["y"]})
    shuffled = table.sample(frac=1, random_state=2)
    assert json.dumps(summary_of(table)[0]) == json.dumps(summary_of(shuffled)[0])


def test_the_table_fits_its_schema_and_can_be_ranked() -> None:
    table = predictions(6, status=[OK, OK, DUPLICATE, OK, BAD_POINT, OK], p_atypical=[0.9, 0.1, None, 0.2, None, 0.3])
    _, filled = summary_of(table)
    written = arrow_table(rank_for_review(filled, threshold=0.4).assign(conformal=None), n_experts=2)
    assert written["label"].to_pylist() == ["AMF", "NMF", None, "NMF", None, "NMF"]
    assert written["in_hotspot"].to_pylist() == [True, True, None, True, None, True]
    assert written["hard"].to_pylist() == [False] * 6
