"""The review ranking, against sums written out by hand and neighbours found by brute force."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy.ndimage import laplace

from tests.made_predictions import made_table
from wsiamf.predictions import arrow_table
from wsiamf.statuses import OK
from wsiamf.summary import ranking
from wsiamf.summary.neighbours import nearest_beyond
from wsiamf.summary.ranking import expert_columns_in, pair_disagreement, rank_for_review


def _rows(n_rows: int = 1, **values: Any) -> pd.DataFrame:
    """Rows far from each other, certain and easy, but for what a test sets."""
    columns: dict[str, Any] = {
        "status": OK,
        "x_um": np.arange(n_rows) * 1000.0,
        "y_um": 0.0,
        "p_atypical": 0.01,
        "p_hard": 0.0,
        "p_atypical_expert_1": 0.0,
        "p_atypical_expert_2": 0.0,
        "hard": False,
        "crop_coverage": 1.0,
        "in_hotspot": False,
    }
    return pd.DataFrame({**columns, **values}, index=range(n_rows))


def _ranks(table: pd.DataFrame, threshold: float = 0.5) -> list[int]:
    ranks: list[int] = rank_for_review(table, threshold=threshold)["review_rank"].tolist()
    return ranks


def _reason(threshold: float = 0.5, **values: Any) -> str:
    return str(rank_for_review(_rows(**values), threshold=threshold)["review_reason"].iloc[0])


def test_weights_sum_to_one() -> None:
    weights = [value for name, value in vars(ranking).items() if name.endswith("_WEIGHT")]
    assert len(weights) == 6
    assert sum(weights) == pytest.approx(1.0)


def test_the_rows_that_count_are_ranked_and_no_others() -> None:
    table = made_table(200)
    ranked = rank_for_review(table, threshold=0.5)
    counted = (table["status"] == OK).to_numpy()
    assert sorted(ranked.loc[counted, "review_rank"]) == list(range(1, 199))
    assert ranked.loc[counted, "review_reason"].str.len().min() > 0
    assert ranked.loc[~counted, ["review_rank", "review_reason"]].isna().all(axis=None)
    arrow_table(ranked, 3)  # the schema takes it


def test_the_table_given_stays_as_it_was() -> None:
    table = made_table()
    before = table.copy(deep=True)
    rank_for_review(table, threshold=0.5)
    pd.testing.assert_frame_equal(table, before)


def test_the_order_is_that_of_sums_written_out() -> None:
    rng = np.random.default_rng(11)
    n_rows = 80
    table = _rows(
        n_rows,
        x_um=rng.uniform(0, 150, n_rows),
        y_um=rng.uniform(0, 150, n_rows),
        p_atypical=rng.random(n_rows),
        p_hard=rng.random(n_rows),
        p_atypical_expert_1=rng.random(n_rows),
        p_atypical_expert_2=rng.random(n_rows),
        p_atypical_expert_3=rng.random(n_rows),
        crop_coverage=rng.uniform(0.5, 1, n_rows),
        in_hotspot=rng.random(n_rows) < 0.5,
        sharpness=rng.uniform(10, 400, n_rows),
    )
    median = float(np.median(table["sharpness"]))
    scores = [_score_by_hand(row, table, median) for _, row in table.iterrows()]
    expected = sorted(range(n_rows), key=lambda row: -scores[row])
    assert np.argsort(_ranks(table, 0.3)).tolist() == expected
    assert 0 <= min(scores) <= max(scores) <= 1


def _score_by_hand(row: pd.Series, table: pd.DataFrame, median: float) -> float:
    a, b, c = (row[f"p_atypical_expert_{k}"] for k in (1, 2, 3))
    differ = (a * (1 - b) + b * (1 - a) + a * (1 - c) + c * (1 - a) + b * (1 - c) + c * (1 - b)) / 3
    logit = math.log(row["p_atypical"] / (1 - row["p_atypical"]))
    near = math.exp(-abs(logit - math.log(0.3 / 0.7)))
    others = [math.dist((row["x_um"], row["y_um"]), (o["x_um"], o["y_um"])) for _, o in table.iterrows()]
    pair = any(7.5 <= distance <= 15 for distance in others)
    blur = max(0.0, 1 - row["sharpness"] / (0.4 * median))
    quality = max(1 - row["crop_coverage"], blur)
    terms = (row["p_hard"], differ, near, float(pair), quality, float(row["in_hotspot"]))
    return float(np.dot((0.3, 0.25, 0.25, 0.08, 0.07, 0.05), terms))


def test_ties_go_by_the_order_of_the_file() -> None:
    assert _ranks(_rows(50)) == list(range(1, 51))
    assert _ranks(_rows(3, p_hard=[0.2, 0.9, 0.2])) == [2, 1, 3]


def test_a_row_inside_the_hotspot_comes_before_its_like() -> None:
    assert _ranks(_rows(2, in_hotspot=[False, True])) == [2, 1]
    assert _ranks(_rows(2, in_hotspot=[False, True], p_hard=[0.3, 0.0])) == [1, 2]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "no difficulty seen (P(atypical) 0.01)"),
        ({"in_hotspot": True}, "no difficulty seen (P(atypical) 0.01); inside the first hotspot"),
        ({"hard": True, "p_hard": 0.412}, "likely a hard case (0.41)"),
        ({"hard": False, "p_hard": 0.9}, "no difficulty seen (P(atypical) 0.01)"),
        ({"p_atypical_expert_1": 0.8, "p_atypical_expert_2": 0.1}, "experts likely to disagree (0.74)"),
        ({"p_atypical": 0.55}, "near the threshold (0.55 against 0.50)"),
        ({"crop_coverage": 0.75}, "crop cut by the slide's edge (25% outside)"),
        (
            {"hard": True, "p_hard": 0.9, "p_atypical": 0.5, "crop_coverage": 0.5, "in_hotspot": True},
            (
                "likely a hard case (0.90); near the threshold (0.50 against 0.50); "
                "crop cut by the slide's edge (50% outside); inside the first hotspot"
            ),
        ),
        (
            {"hard": True, "p_hard": 0.6, "p_atypical": 0.5},
            "near the threshold (0.50 against 0.50); likely a hard case (0.60)",
        ),
    ],
)
def test_reasons_in_words(values: dict[str, Any], reason: str) -> None:
    assert _reason(**values) == reason


def test_without_the_column_hard_half_is_the_cut_off() -> None:
    table = _rows(2, p_hard=[0.49, 0.5]).drop(columns="hard")
    reasons = rank_for_review(table, threshold=0.5)["review_reason"].tolist()
    assert reasons == ["no difficulty seen (P(atypical) 0.01)", "likely a hard case (0.50)"]


def test_models_without_hardness_head_or_with_one_expert() -> None:
    table = _rows(3, p_hard=None, p_atypical=[0.01, 0.4, 0.2]).drop(columns="p_atypical_expert_2")
    table["p_atypical_expert_1"] = 0.5
    assert _ranks(table) == [3, 1, 2]
    assert _reason(p_hard=float("nan"), hard=None) == "no difficulty seen (P(atypical) 0.01)"


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_extreme_thresholds_and_probabilities_stay_finite(threshold: float) -> None:
    assert _ranks(_rows(3, p_atypical=[0.0, 1.0, 0.5]), threshold) == ([1, 3, 2] if threshold == 0 else [3, 1, 2])


def test_a_pair_names_its_distance_and_merged_rows_make_none() -> None:
    table = _rows(4, x_um=[0.0, 8.0, 500.0, 508.0], status=[OK, OK, OK, "duplicate"], y_um=[0.0, 6.0, 0.0, 6.0])
    reasons = rank_for_review(table, threshold=0.5)["review_reason"]
    assert reasons[0] == reasons[1] == "possible anaphase-telophase pair (next figure at 10.0 µm)"
    assert reasons[2] == "no difficulty seen (P(atypical) 0.01)"
    assert pd.isna(reasons[3])


@pytest.mark.parametrize(("distance", "paired"), [(7.49, False), (7.5, True), (15.0, True), (15.01, False)])
def test_a_pair_is_7_5_to_15_um_apart(distance: float, paired: bool) -> None:
    assert np.isfinite(nearest_beyond(np.array([0.0, distance]), np.zeros(2), 7.5, 15.0)).tolist() == [paired, paired]


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), max_size=25))
def test_neighbours_equal_brute_force(points: list[tuple[float, float]]) -> None:
    found = nearest_beyond(np.array([x for x, _ in points]), np.array([y for _, y in points]), 7.5, 15.0)
    for i, distance in enumerate(found):
        apart = [float(np.hypot(points[i][0] - x, points[i][1] - y)) for j, (x, y) in enumerate(points) if j != i]
        inside = [other for other in apart if 7.5 <= other <= 15]
        assert distance == pytest.approx(min(inside)) if inside else np.isnan(distance)


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=5))
def test_disagreement_of_votes_is_the_share_of_unlike_pairs(votes: list[list[bool]]) -> None:
    unlike = [sum(v[i] != v[j] for i in range(4) for j in range(i)) / 6 for v in votes]
    assert pair_disagreement(np.array(votes, dtype=float)) == pytest.approx(unlike)


def test_disagreement_of_probabilities_is_that_of_simulated_votes() -> None:
    p = np.array([0.2, 0.7, 0.5])
    votes = np.random.default_rng(5).random((200_000, 3)) < p
    unlike = np.mean([votes[:, i] != votes[:, j] for i, j in ((0, 1), (0, 2), (1, 2))])
    assert pair_disagreement(p[np.newaxis])[0] == pytest.approx(unlike, abs=0.005)
    assert pair_disagreement(p[np.newaxis, :1])[0] == 0


def test_expert_columns_stand_by_number() -> None:
    names = [f"p_atypical_expert_{k}" for k in (10, 2, 1)]
    assert expert_columns_in(pd.DataFrame(columns=["p_atypical", *names])) == names[::-1]


def test_blur_is_named_only_when_it_is_clear(shared_data: Path) -> None:
    # crops of one real slide in focus, one of them blurred as a scanner out of focus does
    files = sorted((shared_data / "crops" / "AMi-Br" / "patches" / "normal").glob("MIDOG21_*.png"))[:40]
    images = [Image.open(file).convert("L") for file in files]
    sharp = [float(laplace(np.asarray(image, dtype=float)).var()) for image in images]
    blurred = images[7].filter(ImageFilter.GaussianBlur(2.0))
    sharp[7] = float(laplace(np.asarray(blurred, dtype=float)).var())
    reasons = rank_for_review(_rows(40, sharpness=sharp), threshold=0.5)["review_reason"]
    assert reasons[7].startswith("blurred (sharpness 0.0")
    assert reasons.str.startswith("blurred").sum() <= 3


def test_blur_needs_enough_figures_and_edge_and_blur_weigh_once() -> None:
    few = _rows(19, sharpness=[1.0] + [100.0] * 18)
    assert rank_for_review(few, threshold=0.5)["review_reason"][0] == "no difficulty seen (P(atypical) 0.01)"
    many = _rows(21, sharpness=[20.0] + [100.0] * 19 + [float("nan")], crop_coverage=[0.9, 0.6] + [1.0] * 19)
    reasons = rank_for_review(many, threshold=0.5)
    assert reasons["review_reason"][0] == (
        "blurred (sharpness 0.20 of the slide's median); crop cut by the slide's edge (10% outside)"
    )
    assert reasons["review_rank"].tolist()[:2] == [1, 2]  # 0.5 of blur alone before 0.4 of edge
    assert reasons["review_reason"][20] == "no difficulty seen (P(atypical) 0.01)"


def test_empty_tables_are_ranked_too() -> None:
    ranked = rank_for_review(made_table().iloc[:0], threshold=0.5)
    assert len(ranked) == 0
    assert {"review_rank", "review_reason"} <= set(ranked.columns)
    assert rank_for_review(_rows(2, status="bad_point"), threshold=0.5)["review_rank"].isna().all()


def test_a_hundred_thousand_rows_take_seconds() -> None:
    table = made_table(100_000)
    start = time.process_time()
    rank_for_review(table, threshold=0.5)
    assert time.process_time() - start < 8  # 2 s on a quiet machine
