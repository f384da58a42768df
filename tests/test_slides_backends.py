"""The contract of slides, for every library and kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from tests.slide_contract import SlideCase, SlideContract
from wsiamf.slides import open_slide


def openslide_levels(path: Path) -> tuple[NDArray[np.uint8], ...]:
    """Every level by the plain library; none of the files used here has transparent pixels."""
    with openslide.OpenSlide(path) as slide:
        images = [slide.read_region((0, 0), level, size) for level, size in enumerate(slide.level_dimensions)]
    pixels = [np.array(image) for image in images]
    assert (pixels[0][..., 3] == 255).all()
    return tuple(level[..., :3] for level in pixels)


class TestAperio(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, shared_data: Path) -> SlideCase:
        path = shared_data / "slides" / "CMU-1-Small-Region.svs"
        levels = openslide_levels(path)
        assert levels[0].shape == (2967, 2220, 3)
        return SlideCase(path, "openslide", "aperio", levels, 0.499, tile=(240, 240))


class TestAperioAgainstAnotherDecoder(TestAperio):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, shared_data: Path) -> SlideCase:
        path = shared_data / "slides" / "CMU-1-Small-Region.svs"
        with tifffile.TiffFile(path) as tiff:
            level = tiff.pages[0].asarray()
        return SlideCase(path, "openslide", "aperio", (level,), 0.499, tile=(240, 240), tolerance=2)


class TestGenericTiff(SlideContract):
    """OpenSlide's own test file, of 72 dpi and of levels whose downsample is no whole number."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, shared_data: Path) -> SlideCase:
        path = shared_data / "slides" / "boxes.tiff"
        return SlideCase(path, "openslide", "generic-tiff", openslide_levels(path), None, tile=(64, 64))


class TestDicom(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, shared_data: Path) -> SlideCase:
        folder = shared_data / "slides"
        path, thumbnail = folder / "boxes_0.dcm", folder / "boxes_1.dcm"
        return SlideCase(
            path,
            "openslide",
            "dicom",
            openslide_levels(path),
            0.499,
            others=(thumbnail,),
            tile=(64, 64),
            raw_tiles=False,
        )


class TestCoordinatePyramid(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        pixels = coordinate_coded(900, 700)
        path = write_pyramid_tiff(tmp_path_factory.mktemp("pyramid") / "coordinates.tiff", pixels, 0.25)
        levels = (pixels, pixels[::2, ::2], pixels[::4, ::4])
        return SlideCase(path, "openslide", "generic-tiff", levels, 0.25, tile=(256, 256))


class TestPlainStrips(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        pixels = coordinate_coded(900, 700)
        path = write_plain_tiff(tmp_path_factory.mktemp("plain") / "region.tiff", pixels, 0.23)
        return SlideCase(path, "tifffile", "generic-tiff", (pixels,), 0.23)


class TestPlainUncompressed(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        pixels = coordinate_coded(333, 517)
        path = write_plain_tiff(tmp_path_factory.mktemp("raw") / "region.tif", pixels, None, compression=None)
        return SlideCase(path, "tifffile", "generic-tiff", (pixels,), None, raw_tiles=False)


class TestTilesThatOpenSlideCannotDecode(SlideContract):
    """A pyramid in LZMA: no vendor's, so tifffile takes over."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        pixels = coordinate_coded(700, 500)
        path = tmp_path_factory.mktemp("lzma") / "pyramid.tif"
        write_pyramid_tiff(path, pixels, 0.5, tile=128, compression="lzma")
        levels = (pixels, pixels[::2, ::2], pixels[::4, ::4])
        return SlideCase(path, "tifffile", "generic-tiff", levels, 0.5, tile=(128, 128))


def test_a_large_region_is_read_in_bands_without_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsiamf.slides.openslide_slide._BAND_PX", 5_000)
    pixels = coordinate_coded(600, 500)
    with open_slide(write_pyramid_tiff(tmp_path / "a.tif", pixels)) as slide:
        assert np.array_equal(slide.read_region((0, 0), 0, (600, 500)), pixels)
        assert np.array_equal(slide.read_region((8, 16), 2, (140, 120)), pixels[16::4, 8::4][:120, :140])
