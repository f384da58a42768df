"""The contract of slides for OME-Zarr, OME-TIFF, DICOM folders and pictures, on made files of known pixels."""

from __future__ import annotations

from pathlib import Path

import numcodecs
import numpy as np
import pytest
from PIL import Image

from tests.coordinate_slide import coordinate_coded
from tests.made_dicom import JPEG_2000_LOSSLESS, JPEG_LS_LOSSLESS, write_dicom_slide
from tests.made_ome import halves, write_ome_tiff, write_ome_zarr, write_pages_ome_tiff
from tests.slide_contract import SlideCase, SlideContract
from wsiamf.slides import open_slide

PIXELS = coordinate_coded(300, 200)
TILE = (64, 64)


class TestOmeZarr04Blosc(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        levels = halves(PIXELS)
        nested = {"name": "v2", "separator": "/"}  # as the specification has it
        path = tmp_path_factory.mktemp("blosc") / "slide.ome.zarr"
        write_ome_zarr(path, levels, chunk_key_encoding=nested)
        assert (path / "0" / "0" / "2" / "0" / "1" / "4").is_file()
        return SlideCase(path, "zarr", "ome-zarr", levels, 0.25, tile=TILE)


class TestOmeZarr04ZlibChannelsLast(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = tmp_path_factory.mktemp("zlib") / "slide.zarr"
        options = {"axes": "yxc", "scale": (250.0, 250.0), "unit": "nanometer", "compressor": numcodecs.Zlib(5)}
        write_ome_zarr(path, (PIXELS,), **options)
        return SlideCase(path, "zarr", "ome-zarr", (PIXELS,), 0.25, tile=TILE)


class TestOmeZarr05Sharded(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        levels = halves(PIXELS)
        path = tmp_path_factory.mktemp("sharded") / "slide.ome.zarr"
        write_ome_zarr(path, levels, version="0.5", axes="cyx", scale=(2.5e-4, 2.5e-4), unit="millimeter", shard=128)
        return SlideCase(path, "zarr", "ome-zarr", levels, 0.25, tile=TILE)


class TestOmeTiff(SlideContract):
    """OpenSlide would open this as a generic TIFF, without its pyramid and its resolution."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        levels = halves(PIXELS)
        path = write_ome_tiff(tmp_path_factory.mktemp("ome") / "slide.ome.tiff", levels)
        return SlideCase(path, "tifffile", "ome-tiff", levels, 0.25, tile=TILE)


class TestOmeTiffPlanar(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        levels = halves(PIXELS, 2)
        path = write_ome_tiff(
            tmp_path_factory.mktemp("planar") / "slide.ome.tif", levels, mpp=(250, 250), unit="nm", planar=True
        )
        return SlideCase(path, "tifffile", "ome-tiff", levels, 0.25, tile=TILE)


class TestOmeTiffOfThreePages(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = tmp_path_factory.mktemp("pages") / "slide.ome.tif"
        write_pages_ome_tiff(path, np.moveaxis(PIXELS, 2, 0), pyramid=2)
        return SlideCase(path, "tifffile", "ome-tiff", halves(PIXELS, 2), 0.25, tile=TILE)


class TestDicomFolder(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        folder, levels = tmp_path_factory.mktemp("dicom") / "series", halves(PIXELS)
        write_dicom_slide(folder, levels)
        return SlideCase(folder, "openslide", "dicom", levels, 0.25, tile=TILE, raw_tiles=False)


class TestDicomJpeg2000Folder(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        folder, levels = tmp_path_factory.mktemp("dicom2000") / "series", halves(PIXELS, 2)
        write_dicom_slide(folder, levels, syntax=JPEG_2000_LOSSLESS)
        return SlideCase(folder, "openslide", "dicom", levels, 0.25, tile=TILE, raw_tiles=False)


class TestDicomThatOpenSlideRefuses(SlideContract):
    """JPEG-LS, which only wsidicom reads."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        folder, levels = tmp_path_factory.mktemp("jpegls") / "series", halves(PIXELS, 2)
        write_dicom_slide(folder, levels, syntax=JPEG_LS_LOSSLESS)
        return SlideCase(folder, "wsidicom", "dicom", levels, 0.25, tile=TILE, raw_tiles=False)


class TestPng(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = tmp_path_factory.mktemp("png") / "region.png"
        Image.fromarray(PIXELS).save(path, dpi=(101_600, 101_600))
        return SlideCase(path, "pillow", "png", (PIXELS,), 0.25, raw_tiles=False)


class TestBmp(SlideContract):
    """Of 96 dpi, as programs write by default: no microscope's."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = tmp_path_factory.mktemp("bmp") / "region.bmp"
        Image.fromarray(PIXELS).save(path)
        return SlideCase(path, "pillow", "bmp", (PIXELS,), None, raw_tiles=False)


class TestJpeg(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SlideCase:
        path = tmp_path_factory.mktemp("jpeg") / "region.jpg"
        Image.fromarray(PIXELS).save(path, dpi=(50_800, 50_800), quality=90)
        decoded = np.array(Image.open(path).convert("RGB"))
        return SlideCase(path, "pillow", "jpeg", (decoded,), 0.5, raw_tiles=False, last_byte=-3)


def test_a_level_that_shrinks_one_axis_more_than_the_other_is_left_out(tmp_path: Path) -> None:
    pixels = coordinate_coded(401, 1203)  # rounded at every level
    levels = (pixels, pixels[::2, ::4], pixels[::4, ::4], pixels[::32, ::32], pixels[::256, ::64])
    path = write_ome_zarr(tmp_path / "a.zarr", [np.ascontiguousarray(level) for level in levels])
    with open_slide(path) as slide:
        assert slide.level_dimensions == ((401, 1203), (101, 301), (13, 38))
        assert np.array_equal(slide.read_region((200, 400), 1, (10, 20)), levels[2][100:120, 50:60])
