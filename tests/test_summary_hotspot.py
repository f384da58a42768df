"""Hotspots against brute force over every pair of coordinates, with shapely for the region's rule."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.test_summary_area import blob_with_holes, mask_region
from wsiamf.summary import corner_boxes
from wsiamf.summary.corner_boxes import Corners
from wsiamf.summary.hotspot import Rectangle, find_hotspots

Floats = NDArray[np.float64]

SIDES = (40.0, 30.0)
WHOLE = shapely.MultiPolygon([shapely.box(0, 0, 200, 200)])
REGIONS = {
    "whole": WHOLE,
    "blob": blob_with_holes(100, 95),
    "mask": mask_region(20, 20, 10.0, seed=4),
    "strips": shapely.MultiPolygon([shapely.box(0, 0, 25, 200), shapely.box(90, 0, 122, 200)]),
    "too thin": shapely.MultiPolygon([shapely.box(0, 0, 200, 20)]),
}


def eligible(x: Floats, y: Floats, scores: Floats, region: shapely.MultiPolygon) -> list[Rectangle]:
    """Every eligible rectangle, by definition."""
    found = []
    for (width, height), left, top in itertools.product((SIDES, SIDES[::-1]), np.unique(x), np.unique(y)):
        in_width, in_height = (x >= left) & (x <= left + width), (y >= top) & (y <= top + height)
        inside = in_width & in_height
        if not (inside & (x == left)).any() or not (inside & (y == top)).any():
            continue
        share = region.intersection(shapely.box(left, top, left + width, top + height)).area / (width * height)
        if share >= 0.8 - 1e-9:
            known = scores[inside & ~np.isnan(scores)]
            mean = math.fsum(known) / len(known) if len(known) else None
            found.append(Rectangle(float(left), float(top), width, height, int(inside.sum()), mean, share))
    return found


def preference(one: Rectangle) -> tuple[float, ...]:
    mean = -math.inf if one.mean_score is None else one.mean_score
    return (-one.n, -mean, one.y, one.x, -one.width)


def meet(one: Rectangle, other: Rectangle) -> bool:
    apart_x = one.x > other.x + other.width or other.x > one.x + one.width
    return not apart_x and not (one.y > other.y + other.height or other.y > one.y + one.height)


def brute_force(x: Floats, y: Floats, scores: Floats, region: shapely.MultiPolygon) -> list[Rectangle]:
    left = sorted(eligible(x, y, scores, region), key=preference)
    chosen: list[Rectangle] = []
    while left and len(chosen) < 3:
        chosen.append(left[0])
        left = [one for one in left if not meet(one, chosen[-1])]
    return chosen


def assert_same(found: Sequence[Rectangle], expected: Sequence[Rectangle]) -> None:
    assert [replace(one, share_in_area=0) for one in found] == [replace(one, share_in_area=0) for one in expected]
    assert [one.share_in_area for one in found] == pytest.approx([one.share_in_area for one in expected], abs=1e-9)


coordinate = st.integers(0, 24).map(lambda step: 8.0 * step) | st.floats(0, 200)
figures = st.lists(
    st.tuples(coordinate, coordinate, st.sampled_from([0.25, 0.5, 0.75, math.nan])), min_size=1, max_size=14
)


@pytest.mark.parametrize("name", REGIONS)
@given(figures=figures)
@settings(max_examples=40, deadline=None)
def test_hotspots_are_those_of_brute_force(name: str, figures: list[tuple[float, float, float]]) -> None:
    x, y, scores = np.array(figures).T
    assert_same(find_hotspots(x, y, scores, REGIONS[name], sides_px=SIDES), brute_force(x, y, scores, REGIONS[name]))


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("spread", [4.0, 30.0])
def test_crowded_hotspots_are_those_of_brute_force(name: str, spread: float) -> None:
    """Clusters, a third of them outside the region's reach, on quarter px so that edges and ties meet."""
    random = np.random.default_rng(11)
    centres = random.uniform(0, 200, (5, 2))
    points = np.round(4 * (centres[random.integers(0, 5, 90)] + random.normal(0, spread, (90, 2)))) / 4
    x, y, scores = points[:, 0], points[:, 1], random.integers(0, 9, 90) / 8
    assert_same(find_hotspots(x, y, scores, REGIONS[name], sides_px=SIDES), brute_force(x, y, scores, REGIONS[name]))


def test_no_rectangle_anywhere_holds_more() -> None:
    """The rule of touching edges costs nothing where the region is everywhere: a fine lattice of corners finds no more."""
    random = np.random.default_rng(12)
    x, y = random.uniform(40, 160, (2, 60))
    best = find_hotspots(x, y, np.full(60, np.nan), WHOLE, sides_px=SIDES)[0].n
    for width, height in (SIDES, SIDES[::-1]):
        left, top = (edge[..., None] for edge in np.meshgrid(np.arange(0, 160, 0.5), np.arange(0, 160, 0.5)))
        inside = (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)
        assert inside.sum(axis=-1).max() <= best


def test_an_edge_belongs_to_its_rectangle() -> None:
    found = find_hotspots([10, 50, 10, 50], [10, 10, 40, 40], [1, 1, 1, 1], WHOLE, sides_px=SIDES)
    assert [(one.x, one.y, one.width, one.n) for one in found] == [(10, 10, 40, 4)]
    assert found[0].contains([10, 50, 50.001], [40, 10, 20]).tolist() == [True, True, False]


def test_ties_go_to_the_detectors_surer_figures_then_upwards_then_left() -> None:
    def order(*scores: float) -> list[tuple[float, float]]:
        found = find_hotspots([20, 120, 20, 120], [20, 20, 120, 120], scores, WHOLE, sides_px=SIDES)
        return [(one.x, one.y) for one in found]

    nan = math.nan
    assert order(0.5, 0.5, 0.5, 0.5) == [(20, 20), (120, 20), (20, 120)]
    assert order(0.5, 0.6, 0.5, 0.9) == [(120, 120), (120, 20), (20, 20)]
    assert order(nan, nan, nan, 0.1) == [(120, 120), (20, 20), (120, 20)]
    assert order(nan, -3.0, nan, -7.0) == [(120, 20), (120, 120), (20, 20)]


def test_scores_of_few_ties_and_of_many_are_added_up_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    x, y = random.integers(0, 80, (2, 300)) / 4.0  # edges of rectangles meet figures
    scores = np.where(random.random(300) < 0.3, np.nan, random.normal(size=300))
    corners = Corners(x, y, scores, (5.0, 3.0))
    boxes = corners.all_boxes()
    while not boxes.single.all():
        boxes = boxes.take(boxes.single).joined(corners.halves(boxes.take(~boxes.single)))
    boxes = boxes.take(np.arange(0, len(boxes), 7))
    many = corners.mean_scores(boxes)
    monkeypatch.setattr(corner_boxes, "_FEW", len(boxes))
    np.testing.assert_array_equal(corners.mean_scores(boxes), many)
    assert np.isnan(many).any()
    assert len(np.unique(many)) > 64


def test_a_dense_place_outside_the_region_is_passed_over() -> None:
    random = np.random.default_rng(13)
    crowd = random.uniform(160, 190, (500, 2))
    few = np.array([[20.0, 20.0], [25.0, 25.0]])
    x, y = np.concatenate([crowd, few]).T
    region = shapely.MultiPolygon([shapely.box(0, 0, 100, 100)])
    found = find_hotspots(x, y, np.full(len(x), np.nan), region, sides_px=SIDES)
    assert [(one.x, one.y, one.n, one.mean_score) for one in found] == [(20, 20, 2, None)]


def test_exactly_four_fifths_is_enough_and_less_is_not() -> None:
    for right, n_found in ((50 + 0.8 * 40, 1), (50 + 0.8 * 40 - 1e-3, 0)):
        region = shapely.MultiPolygon([shapely.box(0, 50, right, 80)])
        assert len(find_hotspots([50], [50], [1], region, sides_px=SIDES)) == n_found


def test_nothing_to_find() -> None:
    assert find_hotspots([], [], [], WHOLE, sides_px=SIDES) == []
    assert find_hotspots([5], [5], [1], shapely.MultiPolygon(), sides_px=SIDES) == []
    assert find_hotspots([5, 5], [5, 5], [1, 1], REGIONS["too thin"], sides_px=SIDES) == []


SLIDE_PX = 40_000
HOTSPOT_SIDES_PX = (7110.56, 5332.92)  # 2.37 mm2 at 0.25 um/px


def many_figures(layout: str, n: int) -> Floats:
    """(n, 2) on a slide of 10 x 10 mm: spread evenly, in clusters, or half of them in a crowd at the region's rim."""
    random = np.random.default_rng(14)
    evenly = random.uniform(0, SLIDE_PX, (n, 2))
    if layout == "even":
        return evenly
    centres = random.uniform(0, SLIDE_PX, (200, 2)) if layout == "clustered" else np.array([[33_500.0, 20_000.0]])
    clustered = centres[random.integers(0, len(centres), n)] + random.normal(0, 600, (n, 2))
    return clustered if layout == "clustered" else np.where(np.arange(n)[:, None] % 2, evenly, clustered)


@pytest.mark.parametrize(
    ("layout", "region"),
    [
        ("even", blob_with_holes(20_000, 19_000)),
        ("clustered", blob_with_holes(20_000, 19_000)),
        ("even", mask_region(1250, 1250, 32.0, seed=1)),
        ("crowd at the rim", mask_region(1250, 1250, 32.0, seed=1)),
    ],
    ids=["even, drawn", "clustered, drawn", "even, mask", "crowd at the rim, mask"],
)
def test_a_hundred_thousand_figures_take_seconds(layout: str, region: shapely.MultiPolygon) -> None:
    x, y = many_figures(layout, 100_000).T
    scores = np.random.default_rng(15).random(100_000)
    start = time.process_time()
    found = find_hotspots(x, y, scores, region, sides_px=HOTSPOT_SIDES_PX)
    assert time.process_time() - start < 10  # one to two in practice
    assert len(found) == 3
    boxes = shapely.box(*np.array([(one.x, one.y, one.x + one.width, one.y + one.height) for one in found]).T)
    shares = shapely.area(shapely.intersection(region, boxes)) / math.prod(HOTSPOT_SIDES_PX)
    assert (shares > 0.8 - 1e-6).all()
    assert [one.n for one in found] == [int(one.contains(x, y).sum()) for one in found]
    assert not any(meet(one, other) for one, other in itertools.combinations(found, 2))
