"""Frames, rounding and tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsiamf.geometry import (
    Bounds,
    SlideFrame,
    coverage,
    crop_origin,
    hotspot_sides_um,
    nearest_pixel,
    within_tolerance,
)

coordinates = st.floats(-1e5, 1e6, allow_nan=False)


@pytest.mark.parametrize(("value", "expected"), [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, 0), (-0.51, -1), (2.49, 2)])
def test_nearest_pixel_rounds_half_up(value: float, expected: int) -> None:
    assert nearest_pixel(value) == expected


def test_crop_origin_is_ami_brs() -> None:
    assert crop_origin((1000.0, 500.5), 128) == (936, 437)


@given(coordinates, coordinates, st.sampled_from([96, 128, 224]))
def test_the_point_lies_within_half_a_pixel_of_the_crops_centre(x: float, y: float, size: int) -> None:
    left, top = crop_origin((x, y), size)
    assert abs(left + size / 2 - x) <= 0.5 + 1e-6
    assert abs(top + size / 2 - y) <= 0.5 + 1e-6


@given(coordinates, coordinates, st.floats(0.05, 20), st.integers(0, 10_000), st.integers(0, 10_000))
def test_frames_round_trip(x: float, y: float, mpp: float, bounds_x: int, bounds_y: int) -> None:
    frame = SlideFrame(20_000, 20_000, mpp, Bounds(bounds_x, bounds_y, 1, 1))
    assert np.allclose(frame.px_from_um(frame.um_from_px(x)), x, rtol=1e-12, atol=1e-6)
    back = frame.level0_from_qupath(*frame.qupath_from_level0(x, y))
    assert np.allclose(back, (x, y), atol=1e-6)


def test_qupath_counts_from_the_bounds() -> None:
    frame = SlideFrame(1000, 800, 0.25, Bounds(100, 50, 500, 500))
    x, y = frame.qupath_from_level0(130, 80)
    assert (float(x), float(y)) == (30, 30)


def test_area() -> None:
    assert SlideFrame(1, 1, 0.5, Bounds(0, 0, 1, 1)).mm2_from_px2(4_000_000) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [((0, 0), 1.0), ((-5, 0), 0.5), ((-5, -5), 0.25), ((95, 95), 0.25), ((100, 0), 0.0), ((-10, 0), 0.0)],
)
def test_coverage(origin: tuple[float, float], expected: float) -> None:
    assert coverage(origin, 10, (100, 100)) == pytest.approx(expected)


def test_tolerance_includes_its_edge() -> None:
    assert within_tolerance(0.275, 0.25, 0.1)
    assert within_tolerance(0.225, 0.25, 0.1)
    assert not within_tolerance(0.2751, 0.25, 0.1)


def test_hotspot_is_four_to_three() -> None:
    width, height = hotspot_sides_um(2.37)
    assert width * height == pytest.approx(2.37e6)
    assert width / height == pytest.approx(4 / 3)
