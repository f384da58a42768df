"""Crop images: every kind of sample, every way to fail."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.coordinate_slide import coordinate_coded
from wsiamf.errors import CropError, UnsupportedSlideError
from wsiamf.slides import open_slide, read_image

PIXELS = coordinate_coded(128, 96)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".TIFF"])
def test_lossless_formats_give_the_very_pixels(tmp_path: Path, suffix: str) -> None:
    read = read_image(save(tmp_path / f"crop{suffix}", PIXELS))
    assert read.dtype == np.uint8
    assert np.array_equal(read, PIXELS)


def test_a_jpeg(tmp_path: Path) -> None:
    colour = np.full((64, 80, 3), (180, 90, 160), np.uint8)
    read = read_image(save(tmp_path / "crop.jpg", colour, quality=95))
    assert np.abs(read.astype(int) - colour).max() <= 2


def test_a_real_crop_is_what_another_decoder_sees(shared_data: Path) -> None:
    path = sorted((shared_data / "crops" / "AtNorM-MD" / "Atypical").glob("*.png"))[0]
    imagecodecs: Any = pytest.importorskip("imagecodecs")
    assert np.array_equal(read_image(path), imagecodecs.imread(path)[..., :3])


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    shutil.copyfile(save(tmp_path / "crop.png", PIXELS), tmp_path / "crop.jpg")
    assert np.array_equal(read_image(tmp_path / "crop.jpg"), PIXELS)


def test_the_result_may_be_written_to(tmp_path: Path) -> None:
    read = read_image(save(tmp_path / "crop.png", PIXELS))
    read[0, 0] = 7
    assert read[0, 0].tolist() == [7, 7, 7]


def test_grey(tmp_path: Path) -> None:
    read = read_image(save(tmp_path / "crop.png", PIXELS[..., 0]))
    assert all(np.array_equal(read[..., channel], PIXELS[..., 0]) for channel in range(3))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path, suffix: str) -> None:
    deep = PIXELS[..., 0].astype(np.uint16) * 256 + 129
    read = read_image(save(tmp_path / f"crop{suffix}", deep))
    assert all(np.array_equal(read[..., channel], PIXELS[..., 0]) for channel in range(3))


def test_big_endian_16_bit_grey(tmp_path: Path) -> None:
    deep = PIXELS[..., 0].astype(np.uint16) * 256 + 129
    tifffile.imwrite(tmp_path / "crop.tif", deep, byteorder=">", photometric="minisblack", metadata=None)
    assert np.array_equal(read_image(tmp_path / "crop.tif")[..., 1], PIXELS[..., 0])


def test_alpha_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[..., :3] = (200, 100, 0)
    rgba[:, :2, 3], rgba[:, 2:4, 3] = 255, 51
    read = read_image(save(tmp_path / "crop.png", rgba))
    assert (read[:, :2] == (200, 100, 0)).all()
    assert np.abs(read[:, 2:4].astype(int) - (244, 224, 204)).max() <= 1  # a fifth of the colour, the rest white
    assert (read[:, 4:] == 255).all()


def test_grey_with_alpha(tmp_path: Path) -> None:
    stored = np.zeros((4, 4, 2), np.uint8)
    stored[:2, :, 1] = 255
    read = read_image(save(tmp_path / "crop.png", stored))
    assert (read[:2] == 0).all()
    assert (read[2:] == 255).all()


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "crop.png", transparency=1)
    read = read_image(tmp_path / "crop.png")
    assert read[0, 0].tolist() == [10, 20, 30]
    assert read[0, 1].tolist() == [255, 255, 255]


def test_one_bit(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0] > 100).save(tmp_path / "crop.png")
    assert np.array_equal(read_image(tmp_path / "crop.png")[..., 0], np.where(PIXELS[..., 0] > 100, 255, 0))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CropError, match=r"absent\.png: no such image file"):
        read_image(tmp_path / "absent.png")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CropError, match="Is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crop.png").write_bytes(content)
    with pytest.raises(CropError, match=r"crop\.png: not a readable image"):
        read_image(tmp_path / "crop.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_image(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"crop{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CropError, match="not a readable image"):
        read_image(path)


def test_a_stack_is_refused(shared_data: Path) -> None:
    with pytest.raises(CropError, match=r"stack_5\.tiff: a stack of 16 images"):
        read_image(shared_data / "challenge" / "stack_5.tiff")


def test_samples_without_a_defined_white_are_refused(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(tmp_path / "crop.tif")
    with pytest.raises(CropError, match="samples of type 'F'"):
        read_image(tmp_path / "crop.tif")


@pytest.mark.parametrize("side", [9_000, 12_000, 20_000])
def test_a_decompression_bomb_is_refused_undecoded(tmp_path: Path, side: int) -> None:
    """Above wsiamf's own limit, above the size at which Pillow warns, and above the one at which it refuses."""
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(CropError, match=r"bomb\.png: more than 67,108,864 pixels"):
            read_image(tmp_path / "bomb.png")
        with pytest.raises(UnsupportedSlideError, match="than the 67,108,864 that a picture without tiles may have"):
            open_slide(tmp_path / "bomb.png")
    assert not warned  # they would stand on stderr beside the error
