"""Crops: exact positions on a slide whose colour is the position; level choice; padding; order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from wsiamf.crops import (
    ReadingPlan,
    crop_hash,
    iter_crops,
    paint_padding_white,
    plan_reading,
    read_crop,
    sharpness,
)
from wsiamf.slides import Slide, open_slide

WIDTH, HEIGHT = 1200, 900
AS_IT_IS = ReadingPlan(0, 1.0, 1.0)


@pytest.fixture(scope="module")
def coded() -> NDArray[np.uint8]:
    return coordinate_coded(WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory, coded: NDArray[np.uint8]) -> Path:
    path = tmp_path_factory.mktemp("slides") / "coded.tiff"
    write_pyramid_tiff(path, coded, 0.25)
    return path


@pytest.fixture(scope="module")
def slide(slide_path: Path) -> Slide:
    return open_slide(slide_path)


def decode(crop: NDArray[np.uint8]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """x and y of every pixel of a coordinate-coded image."""
    red, green, blue = (crop[..., k].astype(int) for k in range(3))
    return red + ((blue >> 4) << 8), green + ((blue & 15) << 8)


class TestPlan:
    @pytest.mark.parametrize(
        ("mpp", "downsamples", "level", "scale"),
        [
            (0.25, (1.0, 4.0), 0, 1.0),
            (0.23, (1.0, 4.0), 0, 1.0),  # inside the tolerance: as it is
            (0.275, (1.0,), 0, 1.0),  # its edge
            (0.125, (1.0, 2.0, 4.0), 1, 1.0),  # level 1 is exactly 0.25
            (0.12, (1.0, 2.0, 2.2), 1, 1.0),  # 0.24 is closer than 0.264
            (0.0625, (1.0, 2.0, 16.0), 1, 2.0),  # 0.125 is the coarsest that is finer
            (0.1, (1.0, 4.0), 0, 2.5),
            (0.5, (1.0, 4.0), 0, 0.5),  # coarser: upsampled
        ],
    )
    def test_level_and_scale(self, mpp: float, downsamples: tuple[float, ...], level: int, scale: float) -> None:
        plan = plan_reading(mpp, downsamples, target_mpp=0.25, tolerance=0.1)
        assert plan.level == level
        assert plan.scale == pytest.approx(scale)
        assert plan.downsample == downsamples[level]
        assert plan.upsampled == (scale < 1)
        assert plan.resampled == (scale != 1)

    @given(st.floats(0.05, 4), st.lists(st.floats(1.1, 4), max_size=5))
    def test_upsamples_only_where_no_level_is_fine_enough(self, mpp: float, steps: list[float]) -> None:
        downsamples = tuple(np.cumprod([1.0, *steps]))
        plan = plan_reading(mpp, downsamples, target_mpp=0.25, tolerance=0.1)
        assert plan.upsampled == (mpp > 0.25 * 1.1 + 1e-9)
        if not plan.resampled:
            assert abs(mpp * plan.downsample / 0.25 - 1) <= 0.1 + 1e-6


class TestPosition:
    @pytest.mark.parametrize("center", [(600, 450), (64, 64), (600.5, 450.49), (1136, 836), (700.25, 333.75)])
    def test_starts_at_the_rounded_centre_minus_64(self, slide: Slide, center: tuple[float, float]) -> None:
        x, y = decode(read_crop(slide, center, AS_IT_IS))
        assert x[0, 0] == np.floor(center[0] + 0.5) - 64
        assert y[0, 0] == np.floor(center[1] + 0.5) - 64
        assert (np.diff(x[0]) == 1).all()
        assert (np.diff(y[:, 0]) == 1).all()

    @settings(max_examples=25, deadline=None)
    @given(st.floats(-40, WIDTH + 40), st.floats(-40, HEIGHT + 40))
    def test_equals_the_padded_image(self, slide_path: Path, x: float, y: float) -> None:
        padded = np.full((HEIGHT + 400, WIDTH + 400, 3), 255, dtype=np.uint8)
        padded[200:-200, 200:-200] = coordinate_coded(WIDTH, HEIGHT)
        left, top = int(np.floor(x + 0.5)) - 64 + 200, int(np.floor(y + 0.5)) - 64 + 200
        with open_slide(slide_path) as slide:
            crop = read_crop(slide, (x, y), AS_IT_IS)
        assert np.array_equal(crop, padded[top : top + 128, left : left + 128])

    def test_level_1_as_it_is(self, slide: Slide) -> None:
        x, y = decode(read_crop(slide, (600, 450), ReadingPlan(1, 2.0, 1.0)))
        assert (x[0, 0], y[0, 0]) == (600 - 128, 450 - 128)
        assert (np.diff(x[0]) == 2).all()

    @pytest.mark.parametrize("scale", [2.0, 0.5, 1.37])
    @pytest.mark.parametrize("center", [(600, 450), (500.5, 400.25)])
    def test_resampled_keeps_the_point_in_the_middle(
        self, tmp_path: Path, scale: float, center: tuple[float, float]
    ) -> None:
        # A smooth ramp: its value at the crop's centre tells the centre's position to a fraction of a pixel.
        ramp = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        ramp[..., 0] = np.arange(WIDTH)[None] / 5
        ramp[..., 1] = np.arange(HEIGHT)[:, None] / 5
        write_pyramid_tiff(tmp_path / "ramp.tiff", ramp, 0.25)
        with open_slide(tmp_path / "ramp.tiff") as slide:
            crop = read_crop(slide, center, ReadingPlan(0, 1.0, scale)).astype(float)
        assert crop[44:84, 44:84, 0].mean() * 5 + 2 == pytest.approx(center[0] - 0.5, abs=1.0)
        assert crop[44:84, 44:84, 1].mean() * 5 + 2 == pytest.approx(center[1] - 0.5, abs=1.0)
        span = crop[64, 127, 0] - crop[64, 0, 0]
        assert span * 5 == pytest.approx(127 * scale, abs=8)

    def test_reduction_is_anti_aliased(self, tmp_path: Path) -> None:
        stripes = np.zeros((600, 600, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        write_pyramid_tiff(tmp_path / "stripes.tiff", stripes, 0.1)
        with open_slide(tmp_path / "stripes.tiff") as slide:
            crop = read_crop(slide, (300, 300), ReadingPlan(0, 1.0, 2.5))
        assert crop.std() < 12  # nearest-neighbour reading would alternate between 0 and 255


def coverage_at(slide: Slide, center: tuple[float, float], plan: ReadingPlan) -> float:
    (batch,) = iter_crops(slide, [center[0]], [center[1]], plan)
    return float(batch.coverage[0])


class TestCoverage:
    @pytest.mark.parametrize(
        ("center", "expected"),
        [((600, 450), 1.0), ((0, 450), 0.5), ((0, 0), 0.25), ((WIDTH, HEIGHT), 0.25), ((WIDTH - 32, 450), 0.75)],
    )
    def test_share_inside(self, slide: Slide, center: tuple[float, float], expected: float) -> None:
        assert coverage_at(slide, center, AS_IT_IS) == pytest.approx(expected)

    @pytest.mark.parametrize("plan", [ReadingPlan(0, 1.0, 2.0), ReadingPlan(1, 2.0, 1.0)])
    def test_in_other_resolutions(self, slide: Slide, plan: ReadingPlan) -> None:
        assert coverage_at(slide, (0, 450), plan) == pytest.approx(0.5)


class TestBatches:
    def test_rows_lead_back_to_the_points(self, slide: Slide) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.uniform(64, WIDTH - 64, 53), rng.uniform(64, HEIGHT - 64, 53)
        seen = []
        for batch in iter_crops(slide, x, y, AS_IT_IS, batch_size=8):
            assert len(batch.crops_NSS3) == len(batch.coverage) == len(batch.rows) <= 8
            assert batch.readable.all()
            for row, crop in zip(batch.rows, batch.crops_NSS3, strict=True):
                found_x, found_y = decode(crop)
                assert (found_x[64, 64], found_y[64, 64]) == (np.floor(x[row] + 0.5), np.floor(y[row] + 0.5))
            seen += batch.rows.tolist()
        assert sorted(seen) == list(range(53))

    def test_no_points(self, slide: Slide) -> None:
        assert list(iter_crops(slide, [], [], AS_IT_IS)) == []

    def test_unreadable_tiles_are_reported_and_reading_goes_on(self, shared_data: Path) -> None:
        with open_slide(shared_data / "slides" / "unreadable.svs", mpp=0.25) as damaged:
            batch = next(iter_crops(damaged, [8, 9], [8, 9], AS_IT_IS))
        assert not batch.readable.any()
        assert all(problem for problem in batch.problems)
        assert (batch.crops_NSS3 == 255).all()


def test_real_slide_equals_openslide(shared_data: Path) -> None:
    import openslide

    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide, openslide.OpenSlide(path) as plain:
        crop = read_crop(slide, (1000.5, 1500), AS_IT_IS)
        expected = np.asarray(plain.read_region((1001 - 64, 1500 - 64), 0, (128, 128)).convert("RGB"))
    assert np.array_equal(crop, expected)


class TestPadding:
    def test_black_borders_become_white_and_nothing_else(self) -> None:
        crop = np.full((1, 128, 128, 3), 100, dtype=np.uint8)
        crop[0, :10] = 0
        crop[0, :, -3:] = 0
        crop[0, 60:70, 60:70] = 0  # a black figure inside stays
        painted = paint_padding_white(crop)
        assert (painted[0, :10] == 255).all()
        assert (painted[0, :, -3:] == 255).all()
        assert (painted[0, 60:70, 60:70] == 0).all()
        assert (painted[0, 10:60, :-3] == 100).all()
        assert (crop[0, :10] == 0).all()

    def test_a_wholly_black_crop_becomes_glass(self) -> None:
        assert (paint_padding_white(np.zeros((1, 128, 128, 3), dtype=np.uint8)) == 255).all()

    def test_real_crops_at_the_edge(self, shared_data: Path) -> None:
        files = sorted((shared_data / "crops" / "AMi-Br" / "patches" / "normal").glob("MIDOG21_*.png"))
        crops = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files[:400]])
        padded = (crops[:, 0] == 0).all(axis=(1, 2)) | (crops[:, :, 0] == 0).all(axis=(1, 2))
        painted = paint_padding_white(crops)
        assert padded.any()
        unpadded = ~(painted != crops).any(axis=(1, 2, 3))
        assert not (unpadded & padded).any()


def test_hash_is_of_pixels_alone() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert crop_hash(crop) == crop_hash(np.asfortranarray(crop))
    assert crop_hash(crop) != crop_hash(crop[::-1])


def test_sharpness_falls_with_blur() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(sharp).resize((16, 16)).resize((64, 64)))
    values = sharpness(np.stack([sharp, blurred]))
    assert values[0] > 10 * values[1]


def test_sharpness_is_the_variance_of_the_laplacian_of_grey() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    crops[1] = 200
    grey = crops.astype(np.float64).mean(axis=3)
    middle = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * middle
    assert sharpness(crops) == pytest.approx(laplacian.var(axis=(1, 2)), rel=1e-4, abs=1e-9)
    assert sharpness(crops[:0]).shape == (0,)
