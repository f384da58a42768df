"""How many requests a remote slide has under way, and that none is made twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tests.coordinate_slide import write_pyramid_tiff
from tests.made_ome import write_ome_zarr
from tests.remote_store import put_in_memory, serving
from tests.run_processes import wait_until
from wsiamf.crops import iter_crops, plan_reading
from wsiamf.errors import SlideReadError
from wsiamf.slides import open_slide, remote_file
from wsiamf.slides.kept_blocks import KeptBlocks

_BLOCK = 16


class Counted:
    """What a store is asked for, and how much of it at once; an answer takes 10 ms."""

    def __init__(self) -> None:
        self.ranges: list[tuple[str, int | None, int | None]] = []
        self.peak = self._now = self._held_for = 0
        self._changed = threading.Condition()

    def hold(self, n: int) -> None:
        """Count anew, and answer nothing before ``n`` requests are under way, so that no slow thread is missed."""
        with self._changed:
            self.ranges.clear()
            self.peak, self._held_for = 0, n

    def asked(self, read: Callable[[], bytes], *place: Any) -> bytes:
        with self._changed:
            self.ranges.append(place)
            self._now += 1
            self.peak = max(self.peak, self._now)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self.peak >= self._held_for, timeout=20):  # before TIMEOUT_S
                self._held_for = 0  # they are not coming: the test fails, soon
        time.sleep(0.01)
        with self._changed:
            self._now -= 1
        return read()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Of fsspec's memory."""
    counted, memory = Counted(), fsspec.get_filesystem_class("memory")
    whole = memory.cat_file

    def cat_file(self: Any, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        return counted.asked(lambda: whole(self, path, start=start, end=end, **options), path, start, end)

    monkeypatch.setattr(memory, "cat_file", cat_file)
    yield counted
    memory.store.clear()


@pytest.mark.parametrize("kept_blocks", [1, 1000], ids=["large file", "small file"])
def test_no_more_than_sixteen_at_once_whatever_the_threads(
    kept_blocks: int, counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8)
    url = put_in_memory(
        write_pyramid_tiff(tmp_path / "a.tiff", pixels, tile=128, levels=1, compression=None), "requests/a.tiff"
    )
    monkeypatch.setattr(remote_file, "_KEPT_BLOCKS", kept_blocks)
    monkeypatch.setattr(remote_file, "_BLOCK", 1 << 14)  # small, so that readers seldom want the same one
    x, y = np.random.default_rng(1).uniform(100, 1500, (2, 100))
    with open_slide(url) as slide:
        counted.hold(9)
        plan = plan_reading(slide.mpp, slide.level_downsamples, target_mpp=0.25, tolerance=0.1)
        for _ in iter_crops(slide, x, y, plan, threads=8):
            pass
    assert 9 <= counted.peak <= 16
    assert len(counted.ranges) == len(set(counted.ranges))


def test_the_chunks_of_a_zarr_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pixels = np.random.default_rng(0).integers(1, 256, (256, 640, 3), dtype=np.uint8)
    folder, counted = write_ome_zarr(tmp_path / "a.zarr", (pixels,), axes="yxc"), Counted()
    files = {f"/a.zarr/{part.relative_to(folder)}": part.read_bytes() for part in folder.rglob("*") if part.is_file()}
    with serving(files) as server, ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        slide = stack.enter_context(open_slide(server.url("/a.zarr")))
        slides = [slide, *(stack.enter_context(slide.duplicate()) for _ in range(3))]
        counted.hold(9)
        server.fault = lambda handler, _number: bool(counted.asked(bytes, handler.path))
        regions = list(pool.map(lambda one: one.read_region((0, 0), 0, (640, 256)), slides))
    assert all(np.array_equal(region, pixels) for region in regions)
    assert 9 <= counted.peak <= 16


def test_blocks_are_the_bytes_and_fetched_once_by_many_threads() -> None:
    data = bytes(range(256)) * 4
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.extend(range(start // _BLOCK, -(-end // _BLOCK)))
        time.sleep(0.002)
        return data[start:end]

    blocks = KeptBlocks(fetch, _BLOCK, 64)
    blocks.put(data[:48])
    places = np.random.default_rng(0).integers(0, len(data), (200, 2))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: blocks.read(min(place), max(place) + 1), places.tolist()))
    assert found == [data[min(place) : max(place) + 1] for place in places.tolist()]
    assert len(fetched) == len(set(fetched))
    assert not set(fetched) & {0, 1, 2}


def test_a_fetch_that_fails_fails_for_all_who_wait_and_is_made_again() -> None:
    faults = [SlideReadError("gone")]

    def fetch(start: int, end: int) -> bytes:
        if faults:
            wait_until(lambda: len(blocks._blocks[0]._condition._waiters) == 3)  # type: ignore[attr-defined]
            raise faults.pop()
        return bytes(end - start)

    blocks = KeptBlocks(fetch, _BLOCK, 64)
    with ThreadPoolExecutor(4) as pool:
        readings = [pool.submit(blocks.read, 0, 20) for _ in range(4)]
        assert all(isinstance(reading.exception(), SlideReadError) for reading in readings)
    assert blocks.read(0, 20) == bytes(20)


def test_only_the_latest_blocks_are_kept() -> None:
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append(start // _BLOCK)
        return bytes(end - start)

    blocks = KeptBlocks(fetch, _BLOCK, 2)
    for start in (0, 16, 0, 32, 0, 16):
        blocks.read(start, start + 1)
    assert fetched == [0, 1, 2, 1]
