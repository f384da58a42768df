"""Merging and frames, against brute force and as properties."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsiamf.candidates import read_candidates
from wsiamf.candidates.merging import merged_into
from wsiamf.candidates.placing import Placement, place
from wsiamf.geometry import Bounds, SlideFrame


@dataclass(frozen=True)
class PointsSlide:
    name: str
    frame: SlideFrame


# A coarse grid of places and few scores, so that ties, coincident points and exact distances are common.
POINT = st.tuples(
    st.integers(-40, 40).map(float),
    st.integers(-40, 40).map(float),
    st.sampled_from([0.1, 0.5, 0.9, math.nan]),
)
POINTS = st.lists(POINT, max_size=60)
DISTANCE = st.sampled_from([0.0, 1.0, 5.0, 7.5, 13.0, 200.0])


def merge(points: list[tuple[float, float, float]], distance: float) -> list[int]:
    x, y, score = np.asarray(points, dtype=np.float64).reshape(-1, 3).T
    return [int(into) for into in merged_into(x, y, score, distance)]


def brute_force(points: list[tuple[float, float, float]], distance: float) -> list[int]:
    """Suppression in its textbook form: take the best that is left, strike out all that is near."""
    target = [-1] * len(points)
    left = sorted(range(len(points)), key=lambda i: (math.inf if math.isnan(points[i][2]) else -points[i][2], i))
    while left:
        best = left.pop(0)
        near = [i for i in left if math.dist(points[i][:2], points[best][:2]) < distance]
        for index in near:
            target[index] = best
        left = [i for i in left if i not in near]
    return target


@given(points=POINTS, distance=DISTANCE)
def test_merging_equals_brute_force(points: list[tuple[float, float, float]], distance: float) -> None:
    assert merge(points, distance) == brute_force(points, distance)


@given(points=POINTS, distance=DISTANCE)
def test_kept_points_are_apart_and_merged_ones_near_a_better_one(
    points: list[tuple[float, float, float]], distance: float
) -> None:
    target = merge(points, distance)
    kept = [i for i, into in enumerate(target) if into < 0]
    apart = [math.dist(points[a][:2], points[b][:2]) for a in kept for b in kept if a < b]
    assert all(gap >= distance for gap in apart)
    for index, into in enumerate(target):
        if into >= 0:
            assert target[into] == -1
            assert math.dist(points[index][:2], points[into][:2]) < distance
            assert not points[index][2] > points[into][2]


def test_a_chain_does_not_run_together() -> None:
    scores = [0.1, 0.9, 0.2, 0.3, 0.8]
    assert merge([(5.0 * place, 0.0, score) for place, score in enumerate(scores)], 6.0) == [1, -1, 1, 4, -1]


def test_a_point_between_two_kept_ones_belongs_to_the_better() -> None:
    assert merge([(0.0, 0.0, 0.8), (5.0, 0.0, 0.1), (9.0, 0.0, 0.9)], 6.0) == [-1, 2, -1]


@pytest.mark.parametrize("side", [0.0, 100.0, 50_000.0])
def test_time_grows_with_the_number_of_points_alone(side: float) -> None:
    rng = np.random.default_rng(2)
    x, y, score = rng.uniform(0, side, 100_000), rng.uniform(0, side, 100_000), rng.uniform(size=100_000)
    begun = time.process_time()
    target = merged_into(x, y, score, 30.0)
    assert time.process_time() - begun < 3.0  # all pairs of the crowded cases would be ten thousand million
    assert (target == -1).sum() >= 1


FRAME = st.builds(
    lambda width, height, mpp, x, y: SlideFrame(width, height, mpp, Bounds(x, y, width - x, height - y)),
    st.integers(200, 100_000),
    st.integers(200, 100_000),
    st.floats(0.1, 1.0),
    st.integers(0, 100),
    st.integers(0, 100),
)
SHARES = st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1, max_size=8)


@given(frame=FRAME, shares=SHARES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_um_px_and_qupath_columns_give_the_same_points(
    tmp_path: Path, frame: SlideFrame, shares: list[tuple[float, float]]
) -> None:
    slide = PointsSlide("a.mrxs", frame)
    x = np.asarray([share[0] * frame.width for share in shares])
    y = np.asarray([share[1] * frame.height for share in shares])
    path = tmp_path / "points.csv"

    def read(columns: dict[str, NDArray[np.float64]], qupath: bool) -> pd.DataFrame:
        pd.DataFrame(columns).to_csv(path, index=False)
        return read_candidates(path, slide, points_frame="qupath" if qupath else "auto").table

    px = read({"x": x, "y": y}, qupath=False)
    np.testing.assert_array_equal(px["x"], x)
    np.testing.assert_array_equal(px["y"], y)
    others = (
        read({"x_um": x * frame.mpp, "y_um": y * frame.mpp}, qupath=False),
        read({"x": x, "y": y, "x_um": x * frame.mpp, "y_um": y * frame.mpp}, qupath=False),
        read({"x": x - frame.bounds.x, "y": y - frame.bounds.y}, qupath=True),
        read({"x_um": (x - frame.bounds.x) * frame.mpp, "y_um": (y - frame.bounds.y) * frame.mpp}, qupath=True),
    )
    for other in others:
        np.testing.assert_allclose(other[["x", "y"]], px[["x", "y"]], rtol=0, atol=1e-6)


@given(x=st.floats(-100, 1100), y=st.floats(-100, 600))
def test_every_point_ends_inside_or_is_at_fault(x: float, y: float) -> None:
    placed = place(
        np.asarray([x]), np.asarray([y]), {}, SlideFrame(1000, 500, 0.5, Bounds(0, 0, 1000, 500)), Placement()
    )
    usable = -25 <= x <= 1025 and -25 <= y <= 525
    assert bool(placed.faults) is not usable
    if usable:
        assert 0 <= placed.x[0] < 1000
        assert 0 <= placed.y[0] < 500
        inside = 0 <= x < 1000 and 0 <= y < 500
        assert placed.n_moved == int(not inside)
        assert ((placed.x.item(), placed.y.item()) == (x, y)) is inside
    else:
        assert (placed.x[0], placed.y[0]) == (x, y)
