"""Reading many crops on threads: the same pixels as one by one, each tile decoded once, nothing left running."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from wsiamf.crops import ReadingPlan, iter_crops, read_crop
from wsiamf.crops.boxes import crop_boxes
from wsiamf.crops.tile_schedule import schedule_tiles
from wsiamf.errors import SlideReadError
from wsiamf.slides import Slide, TileGrid, open_slide

AS_IT_IS = ReadingPlan(0, 1.0, 1.0)
APERIO = "Aperio Image Library v12.0.15 \r\n1400x1100 (128x128)|AppMag = 40|MPP = 0.2500"
SIDE = (1400, 1100)


def tissue(seed: int = 0) -> NDArray[np.uint8]:
    """Smooth coloured noise, which JPEG keeps, with sharp spots on it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 255, (SIDE[1] // 20, SIDE[0] // 20, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((20, 20, 1), dtype=np.uint8))
    for x, y in rng.integers(0, min(SIDE) - 8, (300, 2)):
        picture[y : y + 6, x : x + 6] = rng.integers(0, 120, 3)
    return picture


def write_aperio(path: Path, **options: Any) -> Path:
    return write_pyramid_tiff(path, tissue(), tile=128, levels=2, description=APERIO, **options)


STORED: dict[str, Callable[[Path], Path]] = {
    "JPEG YCbCr 4:2:0": lambda path: write_aperio(path, compression="jpeg", subsampling=(2, 2)),
    "JPEG YCbCr 4:4:4": lambda path: write_aperio(path, compression="jpeg", subsampling=(1, 1)),
    "JPEG RGB": lambda path: write_aperio(
        path, compression="jpeg", compressionargs={"outcolorspace": "rgb", "level": 80}, subsampling=(1, 1)
    ),
    "JPEG 2000 RGB": lambda path: write_aperio(path, compression=33005),
    "LZW": lambda path: write_aperio(path, compression="lzw", predictor=True),
    "deflate": lambda path: write_aperio(path, compression="deflate"),
    "none": lambda path: write_aperio(path, compression=None),
    "generic JPEG": lambda path: write_pyramid_tiff(path, tissue(), tile=128, levels=2, compression="jpeg"),
}


@pytest.fixture(params=STORED)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return STORED[request.param](tmp_path / "a.svs")


def random_points(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on and round the slide."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-90, SIDE[0] + 90, n), rng.uniform(-90, SIDE[1] + 90, n)


def read_all(slide: Slide, x: Any, y: Any, plan: ReadingPlan, **options: Any) -> NDArray[np.uint8]:
    """The crops in the order of the points."""
    crops = np.zeros((len(x), 128, 128, 3), dtype=np.uint8)
    for batch in iter_crops(slide, x, y, plan, **options):
        assert batch.readable.all()
        crops[batch.rows] = batch.crops_NSS3
    return crops


class TestPixels:
    def test_equal_openslide_in_every_compression(self, stored: Path) -> None:
        x, y = random_points(60)
        with open_slide(stored) as slide, openslide.OpenSlide(stored) as plain:
            assert slide.tiles(0) is not None
            crops = read_all(slide, x, y, AS_IT_IS, batch_size=7)
            for crop, left, top in zip(crops, np.floor(x + 0.5) - 64, np.floor(y + 0.5) - 64, strict=True):
                rgba = np.asarray(plain.read_region((int(left), int(top)), 0, (128, 128)))
                expected = np.where(rgba[..., 3:] == 0, 255, rgba[..., :3])
                assert np.array_equal(crop, expected)

    @pytest.mark.parametrize(
        "plan", [AS_IT_IS, ReadingPlan(1, 2.0, 1.0), ReadingPlan(0, 1.0, 1.7), ReadingPlan(0, 1.0, 0.5)], ids=str
    )
    def test_equal_those_read_one_by_one(self, tmp_path: Path, plan: ReadingPlan) -> None:
        path = write_aperio(tmp_path / "a.svs", compression="deflate")
        x, y = random_points(80, seed=1)
        with open_slide(path) as slide:
            expected = np.stack([read_crop(slide, point, plan) for point in zip(x, y, strict=True)])
            for threads, batch_size in ((1, 32), (3, 5)):
                crops = read_all(slide, x, y, plan, batch_size=batch_size, threads=threads)
                assert np.array_equal(crops, expected)

    def test_strips_are_decoded_once_too(self, tmp_path: Path) -> None:
        pixels = coordinate_coded(900, 700)
        with open_slide(write_plain_tiff(tmp_path / "a.tif", pixels)) as slide:
            x, y = np.array([450.0, 20.0, 890.0]), np.array([350.0, 10.0, 690.0])
            expected = np.stack([read_crop(slide, point, AS_IT_IS) for point in zip(x, y, strict=True)])
            assert slide.tiles(0) is not None
            assert np.array_equal(read_all(slide, x, y, AS_IT_IS), expected)

    def test_without_raw_tiles_regions_are_read_by_every_thread_for_itself(self, tmp_path: Path) -> None:
        path = write_plain_tiff(tmp_path / "a.tif", coordinate_coded(900, 700), compression=None)
        x, y = random_points(50)
        with open_slide(path) as slide:
            assert slide.tiles(0) is None
            expected = np.stack([read_crop(slide, point, AS_IT_IS) for point in zip(x, y, strict=True)])
            assert np.array_equal(read_all(slide, x, y, AS_IT_IS, batch_size=4, threads=3), expected)

    def test_real_dicom_goes_by_regions(self, shared_data: Path) -> None:
        with open_slide(shared_data / "slides" / "boxes_0.dcm") as slide:
            assert slide.tiles(0) is None
            x, y = np.array([100.0, 300.0]), np.array([80.0, 200.0])
            expected = np.stack([read_crop(slide, point, AS_IT_IS) for point in zip(x, y, strict=True)])
            assert np.array_equal(read_all(slide, x, y, AS_IT_IS), expected)

    def test_jpeg_2000_in_ycbcr_is_left_to_openslide(self, tmp_path: Path) -> None:
        with open_slide(write_aperio(tmp_path / "a.svs", compression=33003)) as slide:
            assert slide.tiles(0) is None

    def test_tiles_whose_colours_the_file_misstates_are_not_taken(self, tmp_path: Path) -> None:
        path = write_aperio(tmp_path / "a.svs", compression="deflate")
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tiff.pages[0].tags["PhotometricInterpretation"].overwrite(0)  # type: ignore[union-attr]  # MINISWHITE
        with open_slide(path) as slide:
            assert slide.tiles(0) is None


class TestMissingTiles:
    def leave_out(self, path: Path, page: int) -> None:
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tags = tiff.pages[page].tags  # type: ignore[union-attr]
            for name in ("TileOffsets", "TileByteCounts"):
                tags[name].overwrite((0, *tags[name].value[1:]))

    def test_at_level_0_they_are_white(self, tmp_path: Path) -> None:
        path = write_aperio(tmp_path / "a.svs", compression="deflate")
        self.leave_out(path, 0)
        with open_slide(path) as slide:
            assert slide.tiles(0) is not None
            crop = read_all(slide, [128.0], [128.0], AS_IT_IS)[0]
            assert (crop[:64, :64] == 255).all()
            assert np.array_equal(crop[64:], tissue()[128:192, 64:192])
            assert np.array_equal(crop, read_crop(slide, (128, 128), AS_IT_IS))

    def test_at_a_lower_level_openslide_fills_them(self, tmp_path: Path) -> None:
        path = write_aperio(tmp_path / "a.svs", compression="deflate")
        self.leave_out(path, 1)
        with open_slide(path) as slide:
            assert slide.tiles(1) is None
            assert (read_all(slide, [128.0], [128.0], ReadingPlan(1, 2.0, 1.0))[0] != 255).any()


class CountedTiles:
    """Counts how often each tile is decoded."""

    def __init__(self, slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()
        tiles = slide.tiles(0)
        assert tiles is not None
        decode = tiles.decode

        def counted(column: int, row: int) -> NDArray[np.uint8] | None:
            self.counts[column, row] += 1
            return decode(column, row)

        monkeypatch.setattr(tiles, "decode", counted)


class TestEachTileOnce:
    def test_however_many_crops_touch_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with open_slide(write_aperio(tmp_path / "a.svs", compression="jpeg")) as slide:
            counted = CountedTiles(slide, monkeypatch)
            x, y = random_points(500)
            read_all(slide, x, y, AS_IT_IS, threads=3, batch_size=16)
        assert set(counted.counts.values()) == {1}

    def test_only_what_is_touched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with open_slide(write_aperio(tmp_path / "a.svs", compression="jpeg")) as slide:
            counted = CountedTiles(slide, monkeypatch)
            read_all(slide, [192.0, 704.0], [192.0, 192.0], AS_IT_IS)
        assert set(counted.counts) == {(1, 1), (5, 1)}

    def test_no_more_is_read_than_the_consumer_is_about_to_take(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_slide(write_aperio(tmp_path / "a.svs", compression="jpeg")) as slide:
            counted = CountedTiles(slide, monkeypatch)
            x = np.arange(10) * 128 + 64.0
            y = np.full(10, 64.0)
            with closing(iter_crops(slide, x, y, AS_IT_IS, batch_size=1, threads=2)) as batches:
                next(batches)
                next(batches)
                ends = time.monotonic() + 20
                while len(counted.counts) < 5 and time.monotonic() < ends:
                    time.sleep(0.01)
                time.sleep(0.3)  # in which readers that nothing stops would read the other five
                assert len(counted.counts) == 5  # two given out; two threads and two ahead, less the one just given


class TestSchedule:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(-200, 70_000), st.floats(-200, 900)), max_size=40),
        st.integers(1, 9),
        st.sampled_from([1.0, 0.5, 2.3]),
    )
    def test_every_tile_is_new_before_it_is_needed_and_done_after(
        self, points: list[tuple[float, float]], batch_size: int, scale: float
    ) -> None:
        grid = TileGrid(240, 256, 280, 4)
        dimensions = (280 * 240 - 31, 4 * 256 - 17)
        places = np.array(points).reshape(-1, 2)
        boxes = crop_boxes(places[:, 0], places[:, 1], ReadingPlan(0, 1.0, scale))
        schedule = schedule_tiles(boxes, grid, dimensions, batch_size)
        assert sorted(schedule.order.tolist()) == list(range(len(points)))
        held: set[int] = set()
        for batch, (new, done) in enumerate(zip(schedule.new, schedule.done, strict=True)):
            assert held.isdisjoint(new.tolist())
            held |= set(new.tolist())
            needed = set()
            for row in schedule.order[batch * batch_size : (batch + 1) * batch_size]:
                for tile_row in range(schedule.first[row, 1], schedule.last[row, 1] + 1):
                    for column in range(schedule.first[row, 0], schedule.last[row, 0] + 1):
                        key = (int(schedule.stripes[row]) * grid.rows + tile_row) * grid.columns + column
                        assert schedule.place(key) == (column, tile_row)
                        needed.add(key)
            assert needed <= held
            held -= set(done.tolist())
        assert not held

    def test_memory_holds_few_rows_of_one_stripe(self) -> None:
        rng = np.random.default_rng(0)
        grid = TileGrid(256, 256, 400, 300)
        dimensions = (400 * 256, 300 * 256)
        boxes = crop_boxes(rng.uniform(0, dimensions[0], 60_000), rng.uniform(0, dimensions[1], 60_000), AS_IT_IS)
        schedule = schedule_tiles(boxes, grid, dimensions, 32)
        held = most = decoded = 0
        for new, done in zip(schedule.new, schedule.done, strict=True):
            held += len(new)
            most = max(most, held)
            held -= len(done)
            decoded += len(new)
        assert most <= 3 * 128  # a stripe is 128 tiles wide
        touched = 1 - np.exp(-60_000 * (1 + 128 / 256) ** 2 / (400 * 300))
        assert decoded <= 1.05 * touched * 400 * 300


class TestFailures:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_aperio(tmp_path / "a.svs", compression="jpeg")

    def test_a_damaged_tile_spoils_its_crops_alone(self, path: Path) -> None:
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages[0]
            offset, count = page.dataoffsets[1], page.databytecounts[1]
        data = bytearray(path.read_bytes())
        data[offset : offset + count] = bytes(count)
        path.write_bytes(data)
        with open_slide(path) as slide:
            (batch,) = iter_crops(slide, [192, 320, 448], [64, 64, 64], AS_IT_IS)
        by_row = dict(zip(batch.rows.tolist(), batch.problems, strict=True))
        assert "tile (1, 0) cannot be decoded" in str(by_row[0])
        assert by_row[1] is None
        assert by_row[2] is None

    @pytest.mark.parametrize("kind", [kind for kind in STORED if "JPEG" in kind and "2000" not in kind])
    def test_a_jpeg_tile_damaged_within_is_refused_where_openslide_refuses_it(self, tmp_path: Path, kind: str) -> None:
        path = STORED[kind](tmp_path / "a.svs")
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages[0]
            offsets, counts = page.dataoffsets, page.databytecounts
        # Rows 1 and 2 of tiles, but for the one of most bytes, by which it is judged whether there are raw tiles.
        damaged = [index for index in range(11, 33) if index != int(np.argmax(counts))]
        data = bytearray(path.read_bytes())
        for index in damaged:
            middle = offsets[index] + counts[index] // 2
            end = offsets[index] + counts[index] if index < 22 else middle + 200
            data[middle:end] = bytes(end - middle)
        path.write_bytes(data)
        y, x = (np.array(places) * 128 + 64 for places in np.divmod(damaged, 11))
        with open_slide(path) as slide:
            assert slide.tiles(0) is not None
            unreadable = {row for row in range(len(damaged)) if not readable(slide, (x[row], y[row]))}
            (batch,) = iter_crops(slide, x, y, AS_IT_IS)
        refused = set(batch.rows[~batch.readable].tolist())
        assert refused >= unreadable >= {row for row, index in enumerate(damaged) if index < 22}
        assert len(refused) > 16  # a small damage may leave what is a JPEG all the same

    def test_a_file_that_shrinks_while_it_is_read(self, path: Path) -> None:
        x, y = random_points(300)
        inside = (x > 0) & (y > 0) & (x < SIDE[0]) & (y < SIDE[1])
        with (
            open_slide(path) as slide,
            closing(iter_crops(slide, x[inside], y[inside], AS_IT_IS, batch_size=4)) as all_of_it,
        ):
            first = next(all_of_it)
            os.truncate(path, 4096)
            rest = list(all_of_it)
        assert first.readable.all()
        problems = [problem for batch in rest for problem in batch.problems if problem]
        assert problems
        assert all("the file ends within it" in problem for problem in problems)

    def test_a_thread_that_raises_ends_the_reading_with_its_error(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        x, y = random_points(300)
        with open_slide(path) as slide:
            tiles = slide.tiles(0)
            assert tiles is not None
            decode = tiles.decode

            def failing(column: int, row: int) -> NDArray[np.uint8] | None:
                if row == 4:
                    raise MemoryError("no more")
                return decode(column, row)

            monkeypatch.setattr(tiles, "decode", failing)
            with pytest.raises(SlideReadError, match=r"a\.svs: reading broke off: MemoryError: no more"):
                list(iter_crops(slide, x, y, AS_IT_IS, batch_size=8, threads=3))
        assert not readers()

    @pytest.mark.parametrize("taken", [1, 3])
    def test_an_iterator_that_is_closed_leaves_no_thread(self, path: Path, taken: int) -> None:
        x, y = random_points(400)
        with open_slide(path) as slide:
            batches = iter_crops(slide, x, y, AS_IT_IS, batch_size=8, threads=3)
            for _ in range(taken):
                next(batches)
            batches.close()
            assert not readers()

    def test_an_interruption_of_the_consumer_ends_the_threads(self, path: Path) -> None:
        x, y = random_points(400)
        with (
            open_slide(path) as slide,
            pytest.raises(KeyboardInterrupt),
            closing(iter_crops(slide, x, y, AS_IT_IS, batch_size=8)) as batches,
        ):
            for _ in batches:
                raise KeyboardInterrupt
        assert not readers()


def readable(slide: Slide, point: tuple[float, float]) -> bool:
    """Whether OpenSlide has a crop's pixels."""
    try:
        read_crop(slide, point, AS_IT_IS)
    except SlideReadError:
        return False
    return True


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("wsiamf-read")]


def test_memory_does_not_grow_with_the_candidates(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        x, y = random_points(n)
        with open_slide(path) as slide:
            tracemalloc.start()
            for _ in iter_crops(slide, x, y, AS_IT_IS):
                pass
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    path = write_aperio(tmp_path / "a.svs", compression="jpeg")
    peak(100)
    assert peak(8_000) < peak(1_000) + 7_000 * 600  # bytes of plan a crop; its pixels alone are 49,152
