"""What every slide must do, whatever library reads it. Subclass ``SlideContract`` and give it a case."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsiamf.addresses import Address
from wsiamf.errors import MppError, SlideError, SlideReadError
from wsiamf.geometry import Bounds
from wsiamf.slides import Slide, open_slide


@dataclass(frozen=True)
class SlideCase:
    """One file and what is known of it from elsewhere.

    Args:
        path: The file, folder or address to open.
        backend, vendor: Expected words.
        levels: Pixels of each level, (height, width, 3), decoded by other means than wsiamf.
        mpp: um per level-0 px; None where the file states none that can be used.
        others: Further files of the same slide.
        tile: (width, height) of the tiles of level 0; None where there are none.
        raw_tiles: Whether tiles (or strips) of level 0 can be had one by one.
        tolerance: Grey levels by which another decoder may differ.
        bounds: The part of level 0 that the file says was scanned; None where it names none.
        beside: Further files of the same slide, which it knows by their names.
        last_byte: Place of the last byte that may be altered without harm to the file.
    """

    path: Address
    backend: str
    vendor: str
    levels: tuple[NDArray[np.uint8], ...] = field(repr=False)
    mpp: float | None
    others: tuple[Path, ...] = ()
    tile: tuple[int, int] | None = None
    raw_tiles: bool = True
    tolerance: int = 0
    bounds: Bounds | None = None
    beside: tuple[Path, ...] = ()
    last_byte: int = -1

    def expected(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        """A box in px of a level, cut from the known pixels by plain loops over its rows; white outside."""
        known = self.levels[level]
        box = np.full((height, width, 3), 255, dtype=np.uint8)
        first, last = max(x, 0), min(x + width, known.shape[1])
        for row in range(height):
            if 0 <= y + row < known.shape[0] and first < last:
                box[row, first - x : last - x] = known[y + row, first:last]
        return box

    def check(self, slide: Slide, x: int, y: int, level: int, width: int, height: int) -> None:
        """Read a box given in px of a level and compare it with what is known."""
        downsample = round(slide.level_downsamples[level])
        region = slide.read_region((x * downsample, y * downsample), level, (width, height))
        assert region.shape == (height, width, 3)
        assert region.dtype == np.uint8
        difference = np.abs(region.astype(int) - self.expected(x, y, level, width, height))
        assert difference.max(initial=0) <= self.tolerance

    def copy_to(self, folder: Path, name: str) -> Address:
        """Copy the slide under another name."""
        assert isinstance(self.path, Path), "a slide at an address has its own way"
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():
            return Path(shutil.copytree(self.path, folder / name))
        if (data := self.path.with_suffix("")).is_dir():  # of an MRXS
            shutil.copytree(data, (folder / name).with_suffix(""))
        for part in self.beside:
            shutil.copyfile(part, folder / part.name)
        for number, other in enumerate(self.others):
            shutil.copyfile(other, folder / f"{number}-{name}")
        return Path(shutil.copyfile(self.path, folder / name))

    def changed_copy(self, folder: Path, name: str) -> Address:
        """Copy the slide, with another last byte."""
        path = self.copy_to(folder, name)
        assert isinstance(path, Path)
        file = (
            max(part for part in path.rglob("*") if part.is_file() and part.suffix != ".json")
            if path.is_dir()
            else path
        )
        data = bytearray(file.read_bytes())
        data[self.last_byte] ^= 1
        file.write_bytes(data)
        return path


class SlideContract:
    """Tests of the interface; a subclass gives the class-scoped fixture ``case``."""

    @pytest.fixture(scope="class")
    @classmethod
    def slide(cls, case: SlideCase) -> Iterator[Slide]:
        with open_slide(case.path) as slide:
            yield slide

    def test_says_what_it_is(self, case: SlideCase, slide: Slide) -> None:
        assert (slide.backend, slide.vendor) == (case.backend, case.vendor)
        assert slide.path == case.path
        assert slide.name == case.path.name
        assert slide.properties["openslide.vendor"] == case.vendor

    def test_dimensions_of_every_level(self, case: SlideCase, slide: Slide) -> None:
        assert slide.level_dimensions == tuple((level.shape[1], level.shape[0]) for level in case.levels)
        assert slide.dimensions == slide.level_dimensions[0]
        assert slide.level_count == len(case.levels)

    def test_downsamples_start_at_one_and_grow(self, slide: Slide) -> None:
        downsamples = slide.level_downsamples
        assert downsamples[0] == 1.0
        assert all(finer < coarser for finer, coarser in itertools.pairwise(downsamples))
        for (width, height), downsample in zip(slide.level_dimensions, downsamples, strict=True):
            assert abs(width * downsample - slide.dimensions[0]) <= downsample
            assert abs(height * downsample - slide.dimensions[1]) <= downsample

    def test_the_whole_of_level_0(self, case: SlideCase, slide: Slide) -> None:
        case.check(slide, 0, 0, 0, *slide.dimensions)

    def test_a_box_inside_every_level_of_whole_downsample(self, case: SlideCase, slide: Slide) -> None:
        for level, (width, height) in enumerate(slide.level_dimensions):
            if slide.level_downsamples[level].is_integer():
                case.check(slide, width // 3, height // 3, level, max(1, width // 4), max(1, height // 4))

    def test_any_box_of_any_place(self, case: SlideCase, slide: Slide) -> None:
        width, height = slide.dimensions

        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
        @given(st.integers(-200, width + 50), st.integers(-200, height + 50), st.integers(0, 300), st.integers(0, 300))
        def check(x: int, y: int, box_width: int, box_height: int) -> None:
            case.check(slide, x, y, 0, box_width, box_height)

        check()

    @pytest.mark.parametrize("right", [False, True])
    @pytest.mark.parametrize("low", [False, True])
    def test_over_every_corner_the_rest_is_white(self, case: SlideCase, slide: Slide, right: bool, low: bool) -> None:
        x = slide.dimensions[0] - 9 if right else -11
        y = slide.dimensions[1] - 5 if low else -7
        case.check(slide, x, y, 0, 20, 12)
        region = slide.read_region((x, y), 0, (20, 12))
        outside = region[:, 9:] if right else region[:, :11]
        assert (outside == 255).all()
        assert (region[5:] if low else region[:7]).min() == 255

    def test_boxes_that_touch_the_slide_by_one_pixel(self, case: SlideCase, slide: Slide) -> None:
        width, height = slide.dimensions
        case.check(slide, width - 1, height - 1, 0, 3, 3)
        case.check(slide, width - 1, -2, 0, 3, 3)
        case.check(slide, -2, height - 1, 0, 3, 3)
        case.check(slide, -2, -2, 0, 3, 3)

    @pytest.mark.parametrize("place", [(-(10**13), 0), (0, -(10**13)), (10**13, 10**13), (-64, 0), (0, -64)])
    def test_wholly_beyond_all_is_white(self, slide: Slide, place: tuple[int, int]) -> None:
        for level in range(slide.level_count):
            if min(place) == -64 and slide.level_downsamples[level] > 8:
                continue  # 8 px of the level reach the slide from there
            region = slide.read_region(place, level, (8, 8))
            assert region.shape == (8, 8, 3)
            assert (region == 255).all()

    def test_beyond_the_lower_right_edge_all_is_white(self, slide: Slide) -> None:
        assert (slide.read_region(slide.dimensions, 0, (5, 4)) == 255).all()

    def test_a_level_that_is_not_there(self, slide: Slide) -> None:
        for level in (-1, slide.level_count):
            with pytest.raises(SlideReadError, match="has no level"):
                slide.read_region((0, 0), level, (4, 4))
            with pytest.raises(SlideReadError, match="has no level"):
                slide.tile_grid(level)

    def test_a_region_of_negative_size(self, slide: Slide) -> None:
        with pytest.raises(SlideReadError, match="cannot be -1 x 4 px"):
            slide.read_region((0, 0), 0, (-1, 4))

    def test_closed_twice_then_every_reading_is_an_error(self, case: SlideCase) -> None:
        slide = open_slide(case.path)
        slide.close()
        slide.close()
        with pytest.raises(SlideError, match="closed"):
            slide.read_region((0, 0), 0, (4, 4))
        assert slide.dimensions == slide.level_dimensions[0]

    def test_is_a_context_manager(self, case: SlideCase) -> None:
        with open_slide(str(case.path)) as slide:
            slide.read_region((0, 0), 0, (4, 4))
        with pytest.raises(SlideError, match="closed"):
            slide.read_region((0, 0), 0, (4, 4))

    def test_a_path_of_many_scripts(self, case: SlideCase, tmp_path: Path) -> None:
        path = case.copy_to(tmp_path / "Prüfung 切片 №1", "é 切片" + case.path.suffix)
        with open_slide(path) as slide:
            case.check(slide, 0, 0, 0, 16, 16)
            assert slide.name == path.name

    def test_a_copy_under_another_name_has_the_same_fingerprint(
        self, case: SlideCase, slide: Slide, tmp_path: Path
    ) -> None:
        with open_slide(case.copy_to(tmp_path / "copy", "other" + case.path.suffix)) as copy:
            assert copy.fingerprint == slide.fingerprint
        assert len(slide.fingerprint) == 64
        assert set(slide.fingerprint) <= set("0123456789abcdef")

    def test_another_last_byte_is_another_fingerprint(self, case: SlideCase, slide: Slide, tmp_path: Path) -> None:
        with open_slide(case.changed_copy(tmp_path, "changed" + case.path.suffix)) as changed:
            assert changed.fingerprint != slide.fingerprint

    def test_mpp_as_the_file_states_it(self, case: SlideCase, slide: Slide) -> None:
        if case.mpp is None:
            with pytest.raises(MppError, match=r"--mpp"):
                _ = slide.mpp
            assert slide.mpp_source == "none"
        else:
            assert slide.mpp == pytest.approx(case.mpp, rel=1e-6)
            assert slide.frame.mpp == slide.mpp
            assert slide.mpp_source not in {"none", "given"}

    def test_a_given_mpp_overrides_the_file(self, case: SlideCase, slide: Slide) -> None:
        with open_slide(case.path, mpp=0.31) as given_slide:
            assert given_slide.mpp == 0.31
            assert given_slide.mpp_source == "given"
            assert dict(given_slide.properties) == dict(slide.properties)

    @pytest.mark.parametrize("mpp", [0.0, -0.25, float("nan"), float("inf"), 0.049, 20.1])
    def test_an_absurd_given_mpp_is_refused(self, case: SlideCase, mpp: float) -> None:
        with pytest.raises(MppError, match=r"--mpp .*between 0\.05 and 20"):
            open_slide(case.path, mpp=mpp)

    def test_tiles_cover_every_level(self, case: SlideCase, slide: Slide) -> None:
        for level, (width, height) in enumerate(slide.level_dimensions):
            grid = slide.tile_grid(level)
            if grid is not None:
                assert (grid.columns - 1) * grid.tile_width < width <= grid.columns * grid.tile_width
                assert (grid.rows - 1) * grid.tile_height < height <= grid.rows * grid.tile_height
        first = slide.tile_grid(0)
        assert (first and (first.tile_width, first.tile_height)) == case.tile

    def test_raw_tiles_are_the_pixels_of_every_level(self, case: SlideCase, slide: Slide) -> None:
        for level, known in enumerate(case.levels):
            tiles = slide.tiles(level)
            if tiles is None:
                continue
            for row, column in itertools.product(range(tiles.grid.rows), range(tiles.grid.columns)):
                y, x = row * tiles.grid.tile_height, column * tiles.grid.tile_width
                expected = known[y : y + tiles.grid.tile_height, x : x + tiles.grid.tile_width]
                tile = tiles.decode(column, row)
                assert tile is not None
                difference = np.abs(tile[: expected.shape[0], : expected.shape[1]].astype(int) - expected)
                assert difference.max() <= case.tolerance

    def test_raw_tiles_are_had_where_they_are_expected(self, case: SlideCase, slide: Slide) -> None:
        assert (slide.tiles(0) is not None) == case.raw_tiles

    def test_a_duplicate_reads_the_same_and_outlives_the_first(self, case: SlideCase) -> None:
        with open_slide(case.path) as first:
            second = first.duplicate()
        with second:
            case.check(second, 3, 5, 0, 40, 30)

    def test_bounds_are_the_whole_slide_where_the_file_names_none(self, case: SlideCase, slide: Slide) -> None:
        assert slide.bounds == (case.bounds or Bounds(0, 0, *slide.dimensions))
