"""The contract of slides at an address, in fsspec's memory: TIFF through tiffslide and tifffile, OME-Zarr through zarr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from tests.made_ome import halves, write_ome_tiff, write_ome_zarr
from tests.made_vendor_slides import jpeg_stream, write_ndpi, write_philips, write_scn, write_trestle, write_ventana
from tests.remote_store import MemoryCase, put_in_memory
from tests.slide_contract import SlideContract
from tests.test_slides_backends import openslide_levels
from wsiamf.errors import UnsupportedSlideError
from wsiamf.slides import Slide, open_slide, read_fingerprint

PIXELS = coordinate_coded(300, 200)
TILE = (64, 64)


class TestAperioInMemory(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        description = "Aperio Image Library v12.0.0\n300x200 [0,0 300x200] (64x64)|AppMag = 40|MPP = 0.2500"
        path = tmp_path_factory.mktemp("aperio") / "slide.svs"
        write_pyramid_tiff(path, PIXELS, None, tile=64, compression="jpeg", description=description)
        url, levels = put_in_memory(path, "contract/slide.svs"), openslide_levels(path)
        return MemoryCase(url, "tiffslide", "aperio", levels, 0.25, tile=TILE)


class TestTiledTiffInMemory(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        path = write_pyramid_tiff(tmp_path_factory.mktemp("pyramid") / "coordinates.tiff", PIXELS, 0.25, tile=64)
        url = put_in_memory(path, "contract/coordinates.tiff")
        return MemoryCase(url, "tifffile", "generic-tiff", openslide_levels(path), 0.25, tile=TILE)


class TestUncompressedInMemory(SlideContract):
    """One strip that no one would read whole for one crop."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        path = write_plain_tiff(
            tmp_path_factory.mktemp("raw") / "raw.tif", PIXELS, None, compression=None, rows_per_strip=200
        )
        return MemoryCase(put_in_memory(path, "contract/raw.tif"), "tifffile", "generic-tiff", (PIXELS,), None)


class TestOmeTiffInMemory(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        levels = halves(PIXELS)
        path = write_ome_tiff(tmp_path_factory.mktemp("ome") / "slide.ome.tiff", levels)
        url = put_in_memory(path, "contract/slide.ome.tiff")
        return MemoryCase(url, "tifffile", "ome-tiff", levels, 0.25, tile=TILE)


class TestOmeZarr04InMemory(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        levels = halves(PIXELS)
        path = write_ome_zarr(tmp_path_factory.mktemp("zarr2") / "two.ome.zarr", levels)
        return MemoryCase(put_in_memory(path, "contract/two.ome.zarr"), "zarr", "ome-zarr", levels, 0.25, tile=TILE)


class TestOmeZarr05ShardedInMemory(SlideContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        levels = halves(PIXELS)
        path = tmp_path_factory.mktemp("zarr3") / "three.ome.zarr"
        write_ome_zarr(path, levels, version="0.5", axes="cyx", shard=128)
        return MemoryCase(put_in_memory(path, "contract/three.ome.zarr"), "zarr", "ome-zarr", levels, 0.25, tile=TILE)


class TestNdpiInMemory(SlideContract):
    """Restart intervals are its tiles; the coarser levels that OpenSlide adds are not there."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryCase:
        streams = [jpeg_stream(level, restart_blocks=8) for level in halves(coordinate_coded(256, 192), 2)]
        path = tmp_path_factory.mktemp("ndpi") / "slide.ndpi"
        write_ndpi(path, list(zip(streams, [(256, 192), (128, 96)], strict=True)))
        url, levels = put_in_memory(path, "contract/slide.ndpi"), openslide_levels(path)[:2]
        return MemoryCase(url, "tiffslide", "hamamatsu", levels, 0.25, tile=(64, 8), last_byte=-9)

    def test_says_where_it_lies_on_the_glass(self, slide: Slide) -> None:
        assert slide.frame.centre_offset_nm == (1_000_000.0, -2_000_000.0)
        assert slide.properties["openslide.objective-power"] == "40"


def write_ndpi_levels(path: Path, restart_blocks: tuple[int, ...]) -> Path:
    """An NDPI of levels with a restart marker every so many blocks; of 0 there are none, so that a level is no tiles."""
    levels = halves(coordinate_coded(256, 192), len(restart_blocks))
    streams = [jpeg_stream(level, restart_blocks=n) for level, n in zip(levels, restart_blocks, strict=True)]
    sizes = [(level.shape[1], level.shape[0]) for level in levels]
    return write_ndpi(path, list(zip(streams, sizes, strict=True)))


def test_an_ndpi_is_read_without_its_levels_that_are_no_tiles(tmp_path: Path) -> None:
    path = write_ndpi_levels(tmp_path / "a.ndpi", (8, 0, 8))
    with open_slide(put_in_memory(path, "ndpi/a.ndpi")) as slide, open_slide(path) as local:
        assert slide.level_dimensions == ((256, 192), (64, 48))
        for level, of_local in enumerate((0, 2)):
            size = slide.level_dimensions[level]
            assert np.array_equal(slide.read_region((0, 0), level, size), local.read_region((0, 0), of_local, size))


def test_an_ndpi_whose_finest_level_is_no_tiles_is_for_a_local_disk(tmp_path: Path) -> None:
    path = write_ndpi_levels(tmp_path / "b.ndpi", (0, 8))
    with pytest.raises(UnsupportedSlideError, match=r"level 0 is not in tiles.*copy it to a local disk"):
        open_slide(put_in_memory(path, "ndpi/b.ndpi"))


def test_a_label_page_of_a_tiled_tiff_is_left_out_as_by_openslide(tmp_path: Path) -> None:
    path = tmp_path / "label.tif"
    plain: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, tile=TILE, **plain)
        writer.write(np.zeros((100, 40, 3), np.uint8), **plain)
        writer.write(np.ascontiguousarray(PIXELS[::2, ::2]), subfiletype=1, **plain)  # a thumbnail, in strips
        writer.write(np.ascontiguousarray(PIXELS[::4, ::4]), subfiletype=1, tile=TILE, **plain)
        writer.write(np.ascontiguousarray(PIXELS[::8, ::8]), tile=TILE, **plain)
    with open_slide(path) as local, open_slide(put_in_memory(path, "plain/label.tif")) as slide:
        assert slide.level_dimensions == local.level_dimensions == ((300, 200), (75, 50))


def test_a_plain_tiled_tiff_with_a_scanners_suffix_is_one_as_for_openslide(tmp_path: Path) -> None:
    path = write_pyramid_tiff(tmp_path / "plain.svs", PIXELS, tile=64)
    with open_slide(path) as local, open_slide(put_in_memory(path, "plain/plain.svs")) as slide:
        assert slide.vendor == local.vendor == "generic-tiff"
        assert np.array_equal(slide.read_region((0, 0), 0, (300, 200)), PIXELS)


@pytest.mark.parametrize(
    ("write", "name", "maker"),
    [
        (write_scn, "slide.tif", "Leica"),
        (write_philips, "slide.tif", "Philips"),
        (write_ventana, "slide.tif", "Ventana"),
        (write_trestle, "slide.tif", "Trestle"),
        (write_ventana, "slide.bif", "a Ventana slide"),
        (write_scn, "slide.scn", "a Leica slide"),
    ],
)
def test_formats_whose_layout_only_openslide_knows_are_not_read_as_plain_tiffs(
    write: Callable[..., Path], name: str, maker: str, tmp_path: Path
) -> None:
    options = {"offset": (64, 32), "whole": (400, 300)} if write is write_scn else {}
    path = write(tmp_path / name, halves(coordinate_coded(256, 192), 2), **options)
    with pytest.raises(UnsupportedSlideError, match=f"{maker}.*; copy it to a local disk first"):
        open_slide(put_in_memory(path, f"vendors/{write.__name__}/{name}"))


@pytest.mark.parametrize("kind", ["svs", "tiff", "strips", "ome", "zarr2", "zarr3"])
def test_the_fingerprint_is_that_of_the_local_slide(kind: str, shared_data: Path, tmp_path: Path) -> None:
    made = {
        "svs": lambda: shared_data / "slides" / "CMU-1-Small-Region.svs",
        "tiff": lambda: write_pyramid_tiff(tmp_path / "a.tiff", coordinate_coded(2000, 1500), compression=None),
        "strips": lambda: write_plain_tiff(tmp_path / "b.tiff", PIXELS),
        "ome": lambda: write_ome_tiff(tmp_path / "c.ome.tiff", halves(PIXELS)),
        "zarr2": lambda: write_ome_zarr(tmp_path / "d.zarr", halves(PIXELS)),
        "zarr3": lambda: write_ome_zarr(tmp_path / "e.zarr", halves(PIXELS), version="0.5", axes="cyx"),
    }
    path = made[kind]()
    url = put_in_memory(path, f"fingerprints/{path.name}")
    local = read_fingerprint(path)
    with open_slide(url) as slide:
        assert slide.fingerprint == local
    assert read_fingerprint(url) == local


def test_properties_stand_under_openslides_keys_as_openslide_writes_them(shared_data: Path) -> None:
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(put_in_memory(path, "properties/a.svs")) as slide:
        found = dict(slide.properties)
    with openslide.OpenSlide(path) as known:
        expected = dict(known.properties)
    assert found.items() <= expected.items()
    missing = {key for key in expected.keys() - found.keys() if not key.startswith("openslide.associated.")}
    assert missing == {"openslide.quickhash-1", "tiff.ResolutionUnit"}  # a unit without a resolution, in this file


def test_a_scanners_slide_has_openslides_pixels_and_frame(shared_data: Path) -> None:
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(put_in_memory(path, "facts/a.svs")) as slide, open_slide(path) as local:
        assert slide.frame == local.frame
        assert slide.level_dimensions == local.level_dimensions
        assert slide.tile_grid(0) == local.tile_grid(0)
        assert slide.properties["openslide.objective-power"] == "20"
        whole = slide.read_region((0, 0), 0, slide.dimensions)
        assert np.array_equal(whole, local.read_region((0, 0), 0, local.dimensions))
