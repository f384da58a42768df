"""Other ways to have the crops of many points from an SVS slide: OpenSlide as it is used plainly and with care, and the limit.

Points are rows of x, y in level-0 px; crops are those of ``wsiamf.geometry.crop_origin``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import simplejpeg
import tifffile
from numpy.typing import NDArray

from wsiamf.crops import CROP_PX
from wsiamf.geometry import crop_origin

Points = NDArray[np.float64]


def openslide_crops(slide: Path, points: Points) -> Iterator[NDArray[np.uint8]]:
    """One ``read_region`` a point, in the order given."""
    with openslide.OpenSlide(slide) as opened:
        for x, y in points:
            region = opened.read_region(crop_origin((x, y), CROP_PX), 0, (CROP_PX, CROP_PX))
            yield np.asarray(region.convert("RGB"))


def read_per_point(slide: Path, points: Points) -> None:
    """Every crop through OpenSlide, in the order of the file, in one thread."""
    _drain(openslide_crops(slide, points))


def read_sorted(slide: Path, points: Points, n_threads: int) -> None:
    """Every crop through OpenSlide in the order of the tiles, each thread with a slide of its own."""
    with tifffile.TiffFile(slide) as tiff:
        tile = tiff.pages.first.tilewidth
    order = np.lexsort((points[:, 0], points[:, 1], points[:, 0] // tile, points[:, 1] // tile))
    _in_threads(lambda part: _drain(openslide_crops(slide, part)), np.array_split(points[order], n_threads))


class TileDecoding:
    """The limit of reading: each tile that a crop touches is decoded once, and nothing else is done.

    Args:
        slide: The SVS file; where its tiles lie is read here, outside what is timed.
        points: Centres of the crops.
    """

    def __init__(self, slide: Path, points: Points) -> None:
        self._slide = slide
        with tifffile.TiffFile(slide) as tiff:
            page: Any = tiff.pages.first
            if page.photometric != tifffile.PHOTOMETRIC.YCBCR or page.jpegtables is None:
                raise SystemExit(f"reading.py: {slide} is no slide of made_slide.py.")
            self._head = page.jpegtables[
                :-2
            ]  # without the marker of its end, behind which a tile goes on after its start
            touched = _touched_tiles(points, page)
            self.tiles = [(page.dataoffsets[index], page.databytecounts[index]) for index in touched]

    def run(self, n_threads: int) -> None:
        """Decode them all."""
        file = os.open(self._slide, os.O_RDONLY)
        try:
            parts = [
                self.tiles[len(self.tiles) * k // n_threads : len(self.tiles) * (k + 1) // n_threads]
                for k in range(n_threads)
            ]
            _in_threads(lambda part: self._decode(file, part), parts)
        finally:
            os.close(file)

    def _decode(self, file: int, tiles: list[tuple[int, int]]) -> None:
        for offset, count in tiles:
            data = os.pread(file, count, offset)
            simplejpeg.decode_jpeg(self._head + data[2:])


def _touched_tiles(points: Points, page: Any) -> list[int]:
    """Indices of the tiles of a page that the crops lie on, in the order of the file."""
    columns = -(-page.imagewidth // page.tilewidth)
    touched = set()
    for x, y in points:
        left, top = crop_origin((x, y), CROP_PX)
        for row in range(top // page.tilelength, (top + CROP_PX - 1) // page.tilelength + 1):
            for column in range(left // page.tilewidth, (left + CROP_PX - 1) // page.tilewidth + 1):
                touched.add(row * columns + column)
    return sorted(touched)


def _in_threads(work: Callable[[Any], None], parts: Sequence[Any]) -> None:
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(work, parts))


def _drain(crops: Iterator[Any]) -> None:
    for _ in crops:
        pass
