"""Areas inside rectangles against shapely's, and range counts against counting."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from shapely import affinity

from wsiamf.regions.outline import mask_outline
from wsiamf.summary.covered_area import CoveredArea
from wsiamf.summary.range_sums import RangeSums


def blob_with_holes(centre: float, radius: float) -> shapely.MultiPolygon:
    """A wavy outline round (centre, centre) with three round holes."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    reach = radius * (0.8 + 0.16 * np.sin(3 * angle) + 0.04 * np.sin(17 * angle))
    outline = np.column_stack([centre + reach * np.cos(angle), centre + reach * np.sin(angle)])
    holes = [
        shapely.Point(centre + x * radius, centre + y * radius).buffer(size * radius).exterior.coords
        for x, y, size in [(-0.3, -0.3, 0.15), (0.35, 0.1, 0.1), (0.0, 0.45, 0.05)]
    ]
    return shapely.MultiPolygon([shapely.Polygon(outline, holes)])


def mask_region(width: int, height: int, px_per_cell: float, *, seed: int) -> shapely.MultiPolygon:
    """The outline of a smoothed random mask of width x height cells: many parts and holes."""
    random = np.random.default_rng(seed)
    coarse, fine = (ndimage.gaussian_filter(random.normal(size=(height, width)), s) for s in (width / 16, 1.0))
    mask = coarse / coarse.std() + 0.4 * fine / fine.std() > 0
    outline = affinity.scale(mask_outline(mask), px_per_cell, px_per_cell, origin=(0, 0))
    assert isinstance(outline, shapely.MultiPolygon)
    return outline


REGIONS = {
    "rectangle": shapely.MultiPolygon([shapely.box(0, 0, 1000, 800)]),
    "two parts": shapely.MultiPolygon([shapely.box(0, 0, 300, 200), shapely.box(500.5, 100.25, 900, 801)]),
    "triangle": shapely.MultiPolygon([shapely.Polygon([(10, 10), (990, 400), (120, 780)])]),
    "clockwise with a hole": shapely.MultiPolygon(
        [shapely.Polygon([(0, 0), (0, 800), (1000, 800), (1000, 0)], [[(200, 200), (600, 200), (400, 600)]])]
    ),
    "blob with holes": blob_with_holes(500, 400),
    "mask outline": mask_region(25, 20, 40.0, seed=2),
}


def rectangles(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(4, n) left, top, right, bottom: anywhere, some hanging over, some on grid lines and some outside."""
    x, y = np.sort(random.uniform(-200, 1200, (2, n)), axis=0), np.sort(random.uniform(-200, 1000, (2, n)), axis=0)
    found = np.stack([x[0], y[0], x[1], y[1]])
    found[:, : n // 4] = np.round(found[:, : n // 4], -2)
    return found


@pytest.mark.parametrize("cell_px", [7.3, 25.0, 100.0, 5000.0])
@pytest.mark.parametrize("name", REGIONS)
def test_areas_are_shapelys(name: str, cell_px: float) -> None:
    region = REGIONS[name]
    boxes = rectangles(np.random.default_rng(5), 200)
    expected = shapely.area(shapely.intersection(region, shapely.box(*boxes)))
    covered = CoveredArea(region, cell_px)
    np.testing.assert_allclose(covered.exact(*boxes), expected, rtol=1e-10, atol=1e-6)
    at_least, at_most = covered.brackets(*boxes)
    assert (at_least <= expected + 1e-6).all()
    assert (at_most >= expected - 1e-6).all()


def test_brackets_close_as_the_grid_gets_finer() -> None:
    region, boxes = REGIONS["blob with holes"], rectangles(np.random.default_rng(6), 100)
    gaps = [np.mean(np.subtract(*CoveredArea(region, cell).brackets(*boxes)[::-1])) for cell in (100, 25, 5)]
    assert gaps[0] > 2 * gaps[1] > 6 * gaps[2] > 0


def test_a_huge_region_keeps_the_grid_small() -> None:
    region = shapely.MultiPolygon([shapely.box(0, 0, 400_000, 300_000)])
    covered = CoveredArea(region, 1.0)
    box = [np.array([edge]) for edge in (399_000.0, -50.0, 401_000.0, 700.0)]
    assert covered.exact(*box).tolist() == pytest.approx([1000 * 700])


@given(st.integers(0, 60), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_counts_and_sums_of_ranges_are_those_of_counting(n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x_order, y_order = random.permutation(n), random.permutation(n)
    weight = random.integers(-5, 6, n)
    x_rank, y_rank = np.argsort(x_order), np.argsort(y_order)
    x_from, y_from = random.integers(0, n + 1, (2, 30))
    x_to, y_to = random.integers(x_from, n + 1), random.integers(0, n + 1, 30)
    inside = (x_rank >= x_from[:, None]) & (x_rank < x_to[:, None])
    inside &= (y_rank >= y_from[:, None]) & (y_rank < y_to[:, None])
    index = RangeSums(x_order, y_order, [weight])
    assert index.counts(x_from, x_to, y_from, y_to).tolist() == inside.sum(axis=1).tolist()
    assert index.sums(0, x_from, x_to, y_from, y_to).tolist() == (inside * weight).sum(axis=1).tolist()
