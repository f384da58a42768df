"""The tissue mask and its outline against areas counted pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
import shapely
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.regions import Region, tissue_region
from wsiamf.regions.outline import mask_outline

GLASS, STAINED = (243, 242, 244), (190, 120, 175)


def bounds(region: Region) -> tuple[float, ...]:
    return tuple(region.geometry.bounds)


# --- outline of a mask


def pixel_sum(outline: shapely.MultiPolygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask that a multipolygon covers, asked centre by centre."""
    rows, columns = np.indices(shape)
    return np.asarray(shapely.contains_xy(outline, columns + 0.5, rows + 0.5))


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
@settings(max_examples=300, deadline=None)
def test_outline_is_the_mask(mask: NDArray[np.bool_]) -> None:
    outline = mask_outline(mask)
    assert outline.is_valid
    assert outline.area == mask.sum()
    assert np.array_equal(pixel_sum(outline, mask.shape), mask)
    assert len(outline.geoms) == ndimage.label(mask)[1]


def test_outline_of_pixels_that_meet_in_corners() -> None:
    ring = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]], dtype=bool)
    outline = mask_outline(ring)
    assert outline.is_valid
    assert [len(polygon.interiors) for polygon in outline.geoms] == [2]
    assert outline.area == 13


# --- tissue


def glass(height: int, width: int, *, noise: float = 0.0) -> NDArray[np.uint8]:
    noisy = np.array(GLASS) + np.random.default_rng(0).normal(0, noise, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def frame_of(thumbnail: NDArray[np.uint8], downsample: float, mpp: float = 0.25) -> SlideFrame:
    width, height = round(thumbnail.shape[1] * downsample), round(thumbnail.shape[0] * downsample)
    return SlideFrame(width, height, mpp, Bounds(0, 0, width, height))


def test_known_rectangle_on_noisy_glass() -> None:
    thumbnail = glass(100, 120, noise=2.0)
    thumbnail[20:60, 30:100] = STAINED
    region = tissue_region(thumbnail, (32, 32), frame_of(thumbnail, 32))
    assert region.kind == "tissue"
    assert bounds(region) == (30 * 32, 20 * 32, 100 * 32, 60 * 32)
    pixels = 40 * 70 - 4  # a 3 x 3 majority takes a rectangle's four corners
    assert region.geometry.area == pixels * 32**2
    assert region.area_mm2(0.25) == pytest.approx(pixels * 64e-6)  # one px is 8 um x 8 um


@pytest.mark.parametrize("color", [GLASS, (255, 255, 255), (228, 222, 232), (0, 0, 0), (130, 128, 127)])
def test_no_tissue_on_glass_padding_and_grey(color: tuple[int, int, int]) -> None:
    thumbnail = np.full((80, 90, 3), color, dtype=np.uint8)
    region = tissue_region(thumbnail, (32, 32), frame_of(thumbnail, 32))
    assert region.geometry.is_empty
    assert region.notes == ("No tissue was found on the slide.",)


def test_noise_on_glass_is_no_tissue() -> None:
    thumbnail = glass(200, 200, noise=3.0)
    assert tissue_region(thumbnail, (32, 32), frame_of(thumbnail, 32)).geometry.is_empty


def test_slide_full_of_tissue_is_tissue_throughout() -> None:
    thumbnail = np.empty((60, 60, 3), dtype=np.uint8)
    thumbnail[:, :30], thumbnail[:, 30:] = (225, 175, 205), (120, 60, 140)  # pale stroma, dense nests
    region = tissue_region(thumbnail, (32, 32), frame_of(thumbnail, 32))
    assert region.geometry.area == (60 * 32) ** 2


@pytest.mark.parametrize("ink", [(30, 140, 60), (20, 90, 170), (15, 15, 18), (60, 60, 60)])
def test_ink_and_black_are_no_tissue(ink: tuple[int, int, int]) -> None:
    thumbnail = glass(100, 100)
    thumbnail[10:40, 10:90] = ink
    thumbnail[60:90, 10:90] = STAINED
    region = tissue_region(thumbnail, (32, 32), frame_of(thumbnail, 32))
    assert bounds(region) == (320, 60 * 32, 90 * 32, 90 * 32)


def test_specks_go_and_small_holes_close() -> None:
    thumbnail = glass(100, 200)
    thumbnail[10:90, 10:90] = STAINED
    thumbnail[20:28, 20:28] = GLASS  # 60 px after the majority: 0.0038 mm2, closed
    thumbnail[50:60, 50:60] = GLASS  # 96 px: 0.0061 mm2, stays
    thumbnail[10:22, 120:132] = STAINED  # 140 px: 0.0090 mm2, goes
    thumbnail[10:23, 150:163] = STAINED  # 165 px: 0.0106 mm2, stays
    region = tissue_region(thumbnail, (32, 32), frame_of(thumbnail, 32))
    assert region.geometry.area / 32**2 == (80 * 80 - 4) - 96 + 165
    assert sorted(len(polygon.interiors) for polygon in region.geometry.geoms) == [0, 1]


def test_thumbnail_that_hangs_over_the_edge_is_clipped() -> None:
    thumbnail = np.full((50, 50, 3), STAINED, dtype=np.uint8)
    frame = SlideFrame(1590, 1580, 0.25, Bounds(0, 0, 1590, 1580))
    assert tissue_region(thumbnail, (32, 32), frame).geometry.equals(shapely.box(0, 0, 1590, 1580))


def test_axes_have_their_own_downsample() -> None:
    thumbnail = np.full((50, 40, 3), STAINED, dtype=np.uint8)
    frame = SlideFrame(40 * 33, 50 * 31, 0.25, Bounds(0, 0, 40 * 33, 50 * 31))
    assert tissue_region(thumbnail, (33, 31), frame).geometry.bounds == (0, 0, 40 * 33, 50 * 31)


def test_real_slide(shared_data: Path) -> None:
    with openslide.OpenSlide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        width, height = slide.dimensions
        pixels = np.asarray(slide.read_region((0, 0), 0, (width, height)).convert("RGB"))
    step = 16
    blocks = pixels[: height // step * step, : width // step * step].reshape(
        height // step, step, width // step, step, 3
    )
    frame = SlideFrame(width, height, 0.499, Bounds(0, 0, width, height))
    region = tissue_region(blocks.mean(axis=(1, 3)).astype(np.uint8), (step, step), frame)
    assert 0.50 < region.area_mm2(frame.mpp) < 0.62  # 1.64 mm2 in all; looked at: a strip of skin on glass
    dermis, epidermis, glass_left, lumen = (950, 2100), (1300, 1800), (300, 1800), (1290, 540)
    xs, ys = zip(dermis, epidermis, glass_left, lumen, strict=True)
    assert region.contains(xs, ys).tolist() == [True, True, False, False]
