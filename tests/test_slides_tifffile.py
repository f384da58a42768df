"""Plain TIFFs through tifffile: kinds of samples, strips and tiles, levels, tags, memory."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.coordinate_slide import coordinate_coded, write_plain_tiff
from wsiamf.errors import MppError, SlideReadError
from wsiamf.slides import TileGrid, open_slide
from wsiamf.slides.jpeg_head import jpeg_size
from wsiamf.slides.tifffile_slide import TifffileSlide

PIXELS = coordinate_coded(150, 130)
MIB = 1 << 20


def read_whole(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with open_slide(path) as slide:
        assert slide.backend == "tifffile"
        return slide.read_region((0, 0), 0, slide.dimensions)


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("rows", [1, 17, 130])
def test_strips_of_any_height_and_lossless_compression(tmp_path: Path, compression: str | None, rows: int) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", PIXELS, rows_per_strip=rows, compression=compression)
    assert np.array_equal(read_whole(path), PIXELS)


@pytest.mark.parametrize(
    "options",
    [
        {"predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": None},
        {"planarconfig": "separate", "compression": "lzma", "tile": (32, 48)},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
    ids=str,
)
def test_other_ways_to_store_the_same_pixels(tmp_path: Path, options: dict[str, Any]) -> None:
    stored = np.ascontiguousarray(PIXELS.transpose(2, 0, 1)) if "planarconfig" in options else PIXELS
    path = write_plain_tiff(tmp_path / "a.tif", stored, **({"photometric": "rgb"} | options))
    assert np.array_equal(read_whole(path), PIXELS)


def test_jpeg_strips_come_as_rgb(tmp_path: Path) -> None:
    colour = np.full((96, 128, 3), (180, 90, 160), dtype=np.uint8)
    path = write_plain_tiff(tmp_path / "a.tif", colour, compression="jpeg", rows_per_strip=32)
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        assert page.photometric == tifffile.PHOTOMETRIC.YCBCR
    assert np.abs(read_whole(path).astype(int) - colour).max() <= 2


@pytest.mark.parametrize("height", [96, 80])
def test_a_damaged_jpeg_strip_is_refused(tmp_path: Path, height: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, 128, 3), dtype=np.uint8)
    path = write_plain_tiff(tmp_path / "a.tif", noise, compression="jpeg", rows_per_strip=32)
    assert np.array_equal(read_whole(path), tifffile.imread(path))
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        offset, count = page.dataoffsets[2], page.databytecounts[2]
    data = bytearray(path.read_bytes())
    data[offset + count * 3 // 4 : offset + count] = bytes(count - count * 3 // 4)
    path.write_bytes(data)
    with open_slide(path) as slide:
        slide.read_region((0, 0), 0, (128, 64))
        with pytest.raises(SlideReadError, match=r"tile \(0, 2\) cannot be decoded: (Corrupt|Premature)"):
            slide.read_region((0, 64), 0, (128, 16))


@pytest.mark.parametrize("inverted", [False, True])
def test_grey_is_shown_in_three_equal_channels(tmp_path: Path, inverted: bool) -> None:
    grey = np.arange(120 * 90, dtype=np.uint32).reshape(90, 120).astype(np.uint8)
    photometric = "miniswhite" if inverted else "minisblack"
    path = write_plain_tiff(tmp_path / "a.tif", 255 - grey if inverted else grey, photometric=photometric)
    whole = read_whole(path)
    for channel in range(3):
        assert np.array_equal(whole[..., channel], grey)


@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        ("unassalpha", (200, 100, 0, 255), (200, 100, 0)),
        ("unassalpha", (200, 100, 0, 0), (255, 255, 255)),
        ("unassalpha", (200, 100, 0, 51), (244, 224, 204)),  # a fifth of the colour, four fifths of white
        ("assocalpha", (40, 20, 0, 51), (244, 224, 204)),
    ],
)
def test_alpha_is_laid_over_white(tmp_path: Path, kind: str, stored: Any, shown: tuple[int, ...]) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", np.full((20, 30, 4), stored, np.uint8), extrasamples=[kind])
    assert (read_whole(path) == shown).all()


def test_a_pyramid_of_sub_directories(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, subifds=2, photometric="rgb", compression="deflate", metadata=None)
        for step in (2, 4):
            writer.write(np.ascontiguousarray(PIXELS[::step, ::step]), subfiletype=1, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert slide.level_dimensions == ((150, 130), (75, 65), (38, 33))
        assert slide.level_downsamples == pytest.approx((1, 2, (150 / 38 + 130 / 33) / 2))
        assert np.array_equal(slide.read_region((20, 40), 1, (30, 25)), PIXELS[::2, ::2][20:45, 10:40])
        assert np.array_equal(slide.read_region((0, 0), 2, (38, 33)), PIXELS[::4, ::4])


def test_a_reduced_page_of_another_shape_is_no_level(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, photometric="rgb", metadata=None)
        writer.write(np.zeros((20, 60, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
    with open_slide(path) as slide:
        assert slide.level_dimensions == ((150, 130),)


def test_a_tile_that_a_sparse_file_leaves_out_is_white(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", PIXELS, compression="lzma", tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page: Any = tiff.pages[0]
        for name in ("TileOffsets", "TileByteCounts"):
            page.tags[name].overwrite((0, *page.tags[name].value[1:]))
    whole = read_whole(path)
    assert (whole[:64, :64] == 255).all()
    assert np.array_equal(whole[64:], PIXELS[64:])
    assert np.array_equal(whole[:, 64:], PIXELS[:, 64:])


def test_tiles_are_a_grid_and_strips_are_not(tmp_path: Path) -> None:
    with open_slide(write_plain_tiff(tmp_path / "tiles.tif", PIXELS, compression="lzma", tile=(64, 32))) as slide:
        assert slide.tile_grid(0) == TileGrid(tile_width=32, tile_height=64, columns=5, rows=3)
    with open_slide(write_plain_tiff(tmp_path / "strips.tif", PIXELS)) as slide:
        assert slide.tile_grid(0) is None


@pytest.mark.parametrize(("compression", "rows"), [("deflate", 64), (None, 5000)])
def test_a_small_region_of_a_large_file_takes_little_memory(tmp_path: Path, compression: str | None, rows: int) -> None:
    pixels = np.zeros((5000, 7000, 3), dtype=np.uint8)
    pixels[2600:2700, 3500:3600] = 77
    path = write_plain_tiff(tmp_path / "large.tif", pixels, rows_per_strip=rows, compression=compression)
    del pixels
    with open_slide(path) as slide:
        tracemalloc.start()
        try:
            region = slide.read_region((3500, 2600), 0, (100, 100))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (region == 77).all()
    assert peak < 16 * MIB  # the whole is 100 MiB


def test_decoded_strips_do_not_pile_up(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "large.tif", np.zeros((5000, 7000, 3), dtype=np.uint8), rows_per_strip=250)
    with open_slide(path) as slide:
        tracemalloc.start()
        try:
            for y in range(0, 5000, 250):
                slide.read_region((0, y), 0, (64, 64))
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert kept < 72 * MIB  # 64 MiB of strips are kept, of 100 MiB that were decoded


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [
        ((101_600, 101_600), "INCH", 0.25),
        ((40_000, 40_000), "CENTIMETER", 0.25),
        ((102_351, 101_949), "INCH", (25_400 / 102_351 + 25_400 / 101_949) / 2),  # as in MIDOG 2025
    ],
)
def test_mpp_from_the_resolution_tags(tmp_path: Path, resolution: Any, unit: str, mpp: float) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", PIXELS, None, resolution=resolution, resolutionunit=unit)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(mpp, rel=1e-5)
        assert slide.mpp_source == "tiff resolution tag"


@pytest.mark.parametrize(
    ("resolution", "unit", "message"),
    [
        ((72, 72), "INCH", r"no microscope's.*tiff resolution tag: 352\.8 x 352\.8 um/px.*--mpp"),
        ((96, 96), "INCH", r"264\.6 x 264\.6 um/px.*--mpp"),
        ((1, 1), "CENTIMETER", r"1e\+04 x 1e\+04 um/px.*--mpp"),
        ((40_000, 40_000), "NONE", "states no resolution.*--mpp"),
        ((40_000, 38_000), "CENTIMETER", r"not square.*0\.25 x 0\.2632 um/px.*--mpp"),
    ],
)
def test_resolution_tags_that_say_nothing(tmp_path: Path, resolution: Any, unit: str, message: str) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", PIXELS, None, resolution=resolution, resolutionunit=unit)
    with open_slide(path) as slide:
        with pytest.raises(MppError, match=message):
            _ = slide.mpp
        assert slide.mpp_source == "none"
    with open_slide(path, mpp=0.25) as slide:
        assert slide.mpp == 0.25


def test_metadata_stand_under_openslides_keys(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", PIXELS, 0.5, software="a scanner", description="a region")
    with open_slide(path) as slide:
        assert slide.properties["tiff.Software"] == "a scanner"
        assert slide.properties["tiff.ImageDescription"] == "a region"
        assert slide.properties["tiff.ResolutionUnit"] == "centimeter"
        assert float(slide.properties["tiff.XResolution"]) == 20_000
        assert slide.properties["openslide.level[0].width"] == "150"


@pytest.mark.parametrize("tiled", [True, False])
def test_a_jpeg_tile_larger_than_its_place_is_not_decoded(tmp_path: Path, tiled: bool) -> None:
    """Some KiB of one colour would become 1.2 GB."""
    path = tmp_path / "a.tiff"
    cut: dict[str, Any] = {"tile": (64, 64)} if tiled else {"rowsperstrip": 64}
    tifffile.imwrite(path, coordinate_coded(64, 128), compression="jpeg", photometric="rgb", **cut)
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        offset, count = page.dataoffsets[1], page.databytecounts[1]
    data = bytearray(path.read_bytes())
    head = data.index(b"\xff\xc0", offset, offset + count)
    data[head + 5 : head + 9] = (20_000).to_bytes(2, "big") * 2
    path.write_bytes(data)
    tracemalloc.start()
    with open_slide(path, mpp=0.25) as slide:
        with pytest.raises(SlideReadError, match="its JPEG is of 20000 x 20000 px, where a tile has 64 x 64"):
            TifffileSlide(path).read_region((0, 64), 0, (64, 64))
        assert slide.read_region((0, 0), 0, (64, 64)).shape == (64, 64, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@given(st.integers(1, 600), st.integers(1, 600), st.booleans(), st.integers(0, 3))
def test_the_size_that_a_jpeg_states(width: int, height: int, progressive: bool, fill: int) -> None:
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, format="JPEG", progressive=progressive, comment=b"\xff\xc0 no frame")
    data = stream.getvalue()
    assert jpeg_size(data[:2] + b"\xff" * fill + data[2:]) == (width, height)
    assert jpeg_size(data[: data.index(b"\xff\xdb")]) is None  # tables alone
