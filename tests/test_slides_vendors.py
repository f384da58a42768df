"""The contract of slides for scanner vendors' formats, on made files that OpenSlide takes for the vendor's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.coordinate_slide import coordinate_coded
from tests.made_ome import halves
from tests.made_vendor_slides import (
    decoded,
    jpeg_stream,
    write_mrxs,
    write_ndpi,
    write_philips,
    write_scn,
    write_trestle,
    write_ventana,
    write_vms,
)
from tests.slide_contract import SlideCase, SlideContract
from tests.test_slides_backends import openslide_levels
from wsiamf.geometry import Bounds
from wsiamf.slides import open_slide, slide_facts

PIXELS = coordinate_coded(256, 192)
LEVELS = halves(PIXELS, 2)
TILE = (64, 64)


def placed(
    levels: tuple[NDArray[np.uint8], ...], offset: tuple[int, int], whole: tuple[int, int]
) -> tuple[NDArray[np.uint8], ...]:
    """Levels of a scanned area where it lies on the slide, white round it."""
    slide = []
    for number, level in enumerate(levels):
        step = 2**number
        canvas = np.full((whole[1] // step, whole[0] // step, 3), 255, np.uint8)
        x, y = offset[0] // step, offset[1] // step
        canvas[y : y + level.shape[0], x : x + level.shape[1]] = level
        slide.append(canvas)
    return tuple(slide)


class TestLeicaWithBounds(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        offset, whole = (64, 32), (400, 300)
        path = write_scn(tmp_path_factory.mktemp("scn") / "slide.scn", LEVELS, offset=offset, whole=whole)
        levels, bounds = placed(LEVELS, offset, whole), Bounds(*offset, 256, 192)
        return SlideCase(path, "openslide", "leica", levels, 0.25, raw_tiles=False, bounds=bounds)

    def test_qupath_counts_from_the_bounds(self, case: SlideCase) -> None:
        with open_slide(case.path) as slide:
            x, y = slide.frame.level0_from_qupath(5, 7)
            pixel = slide.read_region((int(x), int(y)), 0, (1, 1))
        assert (int(x), int(y)) == (69, 39)
        assert pixel[0, 0].tolist() == PIXELS[7, 5].tolist()


class TestMiraxWithBounds(SlideContract):
    """The first two columns and the first row of tiles were not scanned."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        pixels = coordinate_coded(384, 256)
        path = write_mrxs(tmp_path_factory.mktemp("mrxs") / "slide.mrxs", halves(pixels, 2), first=(2, 2))
        known = pixels.copy()
        known[:, :128] = known[:128] = 255
        bounds = Bounds(128, 128, 256, 128)
        return SlideCase(path, "openslide", "mirax", halves(known, 2), 0.25, tile=TILE, raw_tiles=False, bounds=bounds)

    def test_qupath_counts_from_the_bounds(self, case: SlideCase) -> None:
        with open_slide(case.path) as slide:
            x, y = slide.frame.level0_from_qupath(5, 7)
            pixel = slide.read_region((int(x), int(y)), 0, (1, 1))
        assert pixel[0, 0].tolist() == [133, 135, 0]

    def test_its_data_belong_to_its_fingerprint(self, case: SlideCase, tmp_path: Path) -> None:
        copy = case.copy_to(tmp_path, "slide.mrxs")
        data = tmp_path / "slide" / "Data0000.dat"
        with open_slide(copy) as slide:
            before = slide.fingerprint
        data.write_bytes(data.read_bytes() + b"\0")
        with open_slide(copy) as slide:
            assert slide.fingerprint != before


class TestPhilips(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = write_philips(tmp_path_factory.mktemp("philips") / "slide.tiff", LEVELS)
        return SlideCase(path, "openslide", "philips", LEVELS, 0.25, tile=TILE, raw_tiles=False)


class TestVentana(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = write_ventana(tmp_path_factory.mktemp("ventana") / "slide.bif", LEVELS)
        return SlideCase(path, "openslide", "ventana", LEVELS, 0.25, raw_tiles=False)


class TestTrestle(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = write_trestle(tmp_path_factory.mktemp("trestle") / "slide.tif", LEVELS)
        return SlideCase(path, "openslide", "trestle", LEVELS, 0.25, tile=TILE, raw_tiles=False)


class TestHamamatsuNdpi(SlideContract):
    """OpenSlide adds coarser levels, which it decodes from the last stream at a fraction of its size."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        streams = [jpeg_stream(level, restart_blocks=8) for level in LEVELS]
        sizes = [(level.shape[1], level.shape[0]) for level in LEVELS]
        path = tmp_path_factory.mktemp("ndpi") / "slide.ndpi"
        write_ndpi(path, list(zip(streams, sizes, strict=True)))
        levels = (*map(decoded, streams), *openslide_levels(path)[2:])
        return SlideCase(path, "openslide", "hamamatsu", levels, 0.25, tile=(64, 8), raw_tiles=False)

    def test_says_where_it_lies_on_the_glass(self, case: SlideCase) -> None:
        with open_slide(case.path) as slide:
            assert slide.frame.centre_offset_nm == (1_000_000.0, -2_000_000.0)
            assert slide_facts(slide)["objective_power"] == 40.0


class TestHamamatsuVms(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        streams = [jpeg_stream(level, restart_blocks=8) for level in LEVELS]
        path = tmp_path_factory.mktemp("vms") / "slide.vms"
        _, *images = write_vms(path, streams[0], streams[1], width_nm=256 * 250, height_nm=192 * 250)
        levels = (*map(decoded, streams), *openslide_levels(path)[2:])
        return SlideCase(
            path,
            "openslide",
            "hamamatsu",
            levels,
            0.25,
            tile=(64, 8),
            raw_tiles=False,
            beside=tuple(images),
            last_byte=-2,
        )
