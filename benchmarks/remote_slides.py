"""Requests and bytes of a slide at an address: ``python benchmarks/remote_slides.py [--points 50] [--latency-ms 30]``.

The slide of ``made_slide.py`` lies on a local disk, behind a file system that counts and that waits before each answer, as a
store does. Each row is a part of a screening, the last one the whole of it.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
from fsspec.implementations.local import LocalFileSystem
from made_slide import WORK, made_slide

from wsiamf import screen_slide
from wsiamf.coordinates.overview import read_overview
from wsiamf.crops import iter_crops, plan_reading
from wsiamf.slides import Slide, open_slide, read_fingerprint

MIB = 1 << 20


@dataclass
class Counts:
    """What was asked for so far.

    Args:
        requests: Number of ranges.
        size: Bytes of all of them.
        latency_s: Before each answer.
    """

    requests: int = 0
    size: int = 0
    latency_s: float = 0.0


COUNTS = Counts()
LOCK = threading.Lock()


class CountingFileSystem(LocalFileSystem):  # type: ignore[misc] # fsspec has no types
    """``counted://``: local files, each range counted."""

    protocol = "counted"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("counted://")))

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """As the file system's, after a wait."""
        self._count(0)
        return dict(super().info(path, **kwargs))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_kwargs: Any) -> bytes:
        """A range of a file, after a wait."""
        with Path(path).open("rb") as stream:
            stream.seek(start or 0)
            data = stream.read(-1 if end is None else end - (start or 0))
        self._count(len(data))
        return data

    def _count(self, size: int) -> None:
        with LOCK:
            COUNTS.requests += 1
            COUNTS.size += size
        time.sleep(COUNTS.latency_s)


@contextmanager
def row(name: str, whole: int) -> Iterator[None]:
    """Print what a block asked for."""
    requests, size, started = COUNTS.requests, COUNTS.size, time.perf_counter()
    yield
    read, seconds = COUNTS.size - size, time.perf_counter() - started
    share = f"{100 * read / whole:.1f} %"
    print(f"| {name} | {COUNTS.requests - requests} | {read / MIB:.1f} | {share} | {seconds:.1f} |", flush=True)


def crops(slide: Slide, points: pd.DataFrame) -> int:
    """Read the crops of all points."""
    plan = plan_reading(slide.mpp, slide.level_downsamples, target_mpp=0.25, tolerance=0.1)
    return sum(len(batch.rows) for batch in iter_crops(slide, points["x"], points["y"], plan))


def main() -> None:
    """Make the slide and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50, help="number of candidates, uniformly on the slide")
    parser.add_argument("--latency-ms", type=float, default=30.0, help="before each answer")
    parser.add_argument("--side", type=int, default=40_000, help="side of the slide in px")
    asked = parser.parse_args()
    COUNTS.latency_s = asked.latency_ms / 1000
    fsspec.register_implementation("counted", CountingFileSystem)
    made = made_slide(WORK, asked.side)
    table = pd.read_csv(made.points["uniform"]).sample(asked.points, random_state=0)
    url, whole = f"counted://{made.slide}", made.slide.stat().st_size
    print(f"A slide of {whole / MIB:.0f} MiB, {asked.points} candidates, {asked.latency_ms:g} ms before each answer:\n")
    print("| what | requests | MiB | share of the file | s |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, row("screening, all of it", whole):
        points = Path(folder) / "points.csv"
        table.to_csv(points, index=False)
        screen_slide(url, points, out=Path(folder) / "out", force=True)
    with row("`read_fingerprint`", whole):
        read_fingerprint(url)
    with row("opening", whole):
        slide = open_slide(url)
    with slide:
        parts: dict[str, Callable[[], Any]] = {
            "fingerprint": lambda: slide.fingerprint,
            "overview": lambda: read_overview(slide, slide.mpp, threading.Event()),
            "crops": lambda: crops(slide, table),
        }
        for name, part in parts.items():
            with row(name, whole):
                part()


if __name__ == "__main__":
    main()
