"""The slide that ``speed.py`` reads: laid out as Aperio's, tissue everywhere, with two sets of candidates.

``python benchmarks/made_slide.py [--work build/bench] [--side 40000]``

The tissue is the inner part of ``sample_data/sample.tiff``, mirrored until it has no seam and given a scanner's sharpness and
grain, so that its tiles weigh what real ones do. The 256 tiles of one period are compressed once and repeated. Same
arguments, same bytes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.spatial import cKDTree

ROOT: Final = Path(__file__).resolve().parents[1]
WORK: Final = ROOT / "build" / "bench"

SIDE: Final = 40_000
"""px of level 0, either way."""

N_POINTS: Final = 4000
TILE: Final = 256
QUALITY: Final = 80
DOWNSAMPLES: Final = (1, 4, 16)

_TISSUE: Final = (slice(512, 2560), slice(256, 2304))  # rows, columns of the sample without glass
# Scanners sharpen, and their sensors have grain: with both, a tile weighs about 16 kB, as theirs do at this quality.
_SHARPENING: Final = ImageFilter.UnsharpMask(radius=1.5, percent=150, threshold=0)
_GRAIN: Final = 5.0  # grey levels
_THUMBNAIL_PX: Final = 768
_MPP: Final = 0.25
_N_CLUSTERS: Final = 40
_CLUSTER_PX: Final = 600.0
_MARGIN_PX: Final = 64  # half a crop: none hangs over the edge
_APART_PX: Final = 32.0  # 8 um: detectors name no figure twice, and wsiamf merges what is closer than 7.5 um

Draw = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


@dataclass(frozen=True)
class MadeSlide:
    """Where the slide and its candidates are.

    Args:
        slide: The SVS file.
        points: CSV files with the columns x, y (level-0 px), by the name of their distribution.
    """

    slide: Path
    points: dict[str, Path]


def made_slide(work: Path = WORK, side: int = SIDE) -> MadeSlide:
    """The slide and its candidates in a folder; made where they are missing.

    Args:
        work: The folder.
        side: Side of the slide, in px of level 0.
    """
    work.mkdir(parents=True, exist_ok=True)
    stem = "slide" if side == SIDE else f"slide_{side}"
    made = MadeSlide(work / f"{stem}.svs", {name: work / f"{stem}_{name}.csv" for name in _DRAWS})
    if not made.slide.exists():
        _replace(made.slide, partial(write_slide, side=side))
    for seed, (name, path) in enumerate(made.points.items()):
        if not path.exists():
            _replace(path, partial(write_points, side=side, draw=_DRAWS[name], seed=seed))
    return made


def write_slide(path: Path, side: int) -> None:
    """Write the pyramid: level 0, the thumbnail, then the reduced levels, which is Aperio's order of pages."""
    period = tissue_period()
    with tifffile.TiffWriter(path) as tiff:
        _write_level(tiff, period, side, DOWNSAMPLES[0])
        _write_thumbnail(tiff, period, side)
        for downsample in DOWNSAMPLES[1:]:
            _write_level(tiff, period, side, downsample)


def tissue_period() -> NDArray[np.uint8]:
    """The tissue that the slide repeats, (4096, 4096, 3): mirrored both ways, so that it goes on without a seam."""
    inner: NDArray[np.uint8] = tifffile.imread(ROOT / "sample_data" / "sample.tiff", key=0)[_TISSUE]
    rows = np.concatenate([inner, inner[::-1]])
    period = np.concatenate([rows, rows[:, ::-1]], axis=1)
    sharp = np.asarray(Image.fromarray(period).filter(_SHARPENING))
    grain = np.random.default_rng(0).normal(0.0, _GRAIN, (*period.shape[:2], 1))
    return np.clip(np.rint(sharp + grain), 0, 255).astype(np.uint8)


def write_points(path: Path, side: int, draw: Draw, seed: int) -> None:
    """Write candidates that lie apart from each other and off the edge."""
    generator = np.random.default_rng(seed)
    drawn = np.rint(draw(generator, 2 * N_POINTS, side))
    inside = drawn[((drawn >= _MARGIN_PX) & (drawn < side - _MARGIN_PX)).all(axis=1)]
    too_close = cKDTree(inside).query_pairs(_APART_PX, output_type="ndarray")
    kept = np.delete(inside, np.unique(too_close[:, 1]), axis=0)[:N_POINTS]
    assert len(kept) == N_POINTS, "the slide is too small for that many candidates"
    np.savetxt(path, kept, fmt="%d", delimiter=",", header="x,y", comments="")


def _uniform(generator: np.random.Generator, n: int, side: int) -> NDArray[np.float64]:
    return generator.uniform(0, side, (n, 2))


def _clustered(generator: np.random.Generator, n: int, side: int) -> NDArray[np.float64]:
    centres = generator.uniform(2 * _CLUSTER_PX, side - 2 * _CLUSTER_PX, (_N_CLUSTERS, 2))
    return generator.normal(centres[generator.integers(_N_CLUSTERS, size=n)], _CLUSTER_PX)


_DRAWS: Final[dict[str, Draw]] = {"uniform": _uniform, "clustered": _clustered}


def _write_level(tiff: tifffile.TiffWriter, period: NDArray[np.uint8], side: int, downsample: int) -> None:
    """One tiled page; its tables stand apart from its tiles, as Aperio has it."""
    reduced = _reduced(period, downsample)
    across = len(reduced) // TILE
    split = [
        _split_tables(_jpeg(reduced[y : y + TILE, x : x + TILE]))
        for y in range(0, len(reduced), TILE)
        for x in range(0, len(reduced), TILE)
    ]
    width = side // downsample
    n_tiles = -(-width // TILE)
    tiles = (split[row % across * across + column % across][1] for row in range(n_tiles) for column in range(n_tiles))
    _write_page(tiff, tiles, width, side, tile=(TILE, TILE), jpegtables=split[0][0])


def _write_thumbnail(tiff: tifffile.TiffWriter, period: NDArray[np.uint8], side: int) -> None:
    """One strip that shows the whole slide."""
    small = _reduced(period, DOWNSAMPLES[-1])
    repeats = -(-side // len(period))
    whole = np.tile(small, (repeats, repeats, 1))[: side // DOWNSAMPLES[-1], : side // DOWNSAMPLES[-1]]
    shown = np.asarray(Image.fromarray(whole).resize((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BOX))
    _write_page(tiff, iter([_jpeg(shown)]), _THUMBNAIL_PX, side, rowsperstrip=_THUMBNAIL_PX)


def _write_page(tiff: tifffile.TiffWriter, segments: Iterator[bytes], width: int, side: int, **layout: Any) -> None:
    tiff.write(
        segments,
        shape=(width, width, 3),
        dtype=np.uint8,
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        description=_description(width, side),
        metadata=None,
        software=False,
        **layout,
    )


def _description(width: int, side: int) -> str:
    """What Aperio writes of a page; OpenSlide takes the resolution from the first."""
    head = f"Aperio Image Library v12.0.15\r\n{side}x{side} [0,0 {side}x{side}] ({TILE}x{TILE})"
    reduced = "" if width == side else f" -> {width}x{width}"
    return f"{head}{reduced} JPEG/YCC Q={QUALITY}|AppMag = 40|MPP = {_MPP:.4f}"


def _reduced(period: NDArray[np.uint8], downsample: int) -> NDArray[np.uint8]:
    """Means over squares of the period."""
    side = len(period) // downsample
    means: NDArray[np.float64] = period.reshape(side, downsample, side, downsample, 3).mean(axis=(1, 3))
    return np.rint(means).astype(np.uint8)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels), level=QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="420"
    )
    return bytes(encoded)


def _split_tables(jpeg: bytes) -> tuple[bytes, bytes]:
    """A JPEG stream as its tables and what is left of it, each a stream of its own."""
    start, end = b"\xff\xd8", b"\xff\xd9"
    tables, rest, position = b"", b"", len(start)
    while jpeg[position + 1] != 0xDA:  # the scan comes last
        following = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if jpeg[position + 1] in (0xDB, 0xC4):  # quantisation and Huffman tables
            tables += jpeg[position:following]
        else:
            rest += jpeg[position:following]
        position = following
    return start + tables + end, start + rest + jpeg[position:]


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name first, so that a killed run leaves no half of it."""
    unfinished = path.with_name(path.name + ".part")
    write(unfinished)
    os.replace(unfinished, path)


def main() -> None:
    """Make the slide and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the slide; default: build/bench")
    parser.add_argument("--side", type=int, default=SIDE, help="px of level 0, either way; default: %(default)s")
    arguments = parser.parse_args()
    made = made_slide(arguments.work, arguments.side)
    print(f"{made.slide}: {made.slide.stat().st_size / 1e6:.0f} MB")
    for name, path in made.points.items():
        print(f"{path}: {N_POINTS} candidates, {name}")


if __name__ == "__main__":
    main()
