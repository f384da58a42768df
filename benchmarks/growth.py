"""How time and memory of a whole screening grow with the number of candidates: ``python benchmarks/growth.py``.

Each size runs in a process of its own, on one made slide and with a tiny untrained network, so that the other steps show.
Candidates lie anywhere and nothing is merged unless ``--merge-um`` says so: a million do not fit 25 mm2 at 7.5 um from each
other, so that merging leaves fewer to classify. Linux only, since peak memory is read from ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from made_bundle import write_random_bundle
from numpy.typing import NDArray

from wsiamf import screen_slide

SIZES = (1_000, 20_000, 100_000, 1_000_000)
SIDE_PX = 20_000
TILE_PX = 256
MPP = 0.25
DOWNSAMPLES = (1, 4, 16)
BACKBONE = "test_efficientnet"  # timm's own, 0.4 M parameters
MIB = 1 << 20


def write_slide(path: Path) -> None:
    """A pyramid of JPEG tiles, all alike: tissue-coloured noise."""
    rng = np.random.default_rng(0)
    color = np.array([200, 120, 180]) + rng.normal(0, 12, (TILE_PX // 8, TILE_PX // 8, 1))
    tile = np.kron(np.clip(color, 0, 255), np.ones((8, 8, 1))).astype(np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for downsample in DOWNSAMPLES:
            writer.write(
                _repeated(tile, (-(-SIDE_PX // downsample // TILE_PX)) ** 2),
                shape=(SIDE_PX // downsample, SIDE_PX // downsample, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                photometric="rgb",
                compression="jpeg",
                subfiletype=int(downsample > 1),
                resolution=(1e4 / (MPP * downsample),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )


def _repeated(tile: NDArray[np.uint8], n: int) -> Iterator[NDArray[np.uint8]]:
    for _ in range(n):
        yield tile


def write_points(path: Path, n: int) -> None:
    """Candidates anywhere on the slide."""
    rng = np.random.default_rng(n)
    x, y = rng.uniform(0, SIDE_PX, (2, n)).round(2)
    pd.DataFrame({"x": x, "y": y, "score": rng.random(n).round(4)}).to_csv(path, index=False)


def screen(scratch: Path, n: int, *, merge_um: float, gzip_geojson: bool) -> None:
    """Screen ``n`` candidates in this process and print what it took as JSON: seconds and MiB."""
    started = time.perf_counter()
    result = screen_slide(
        scratch / "slide.tiff",
        scratch / f"{n}.csv",
        out=scratch / "out",
        model=scratch / "model",
        device="cpu",
        merge_um=merge_um,
        overwrite=True,
        gzip_geojson=gzip_geojson,
    )
    seconds = time.perf_counter() - started
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    table = int(result.table.memory_usage(deep=True).sum()) / MIB
    files = sum(file.stat().st_size for file in result.folder.iterdir()) / MIB
    print(json.dumps({"seconds": seconds, "peak": peak, "table": table, "files": files, "beyond": peak - table}))


def measure(scratch: Path, n: int, arguments: list[str]) -> dict[str, float]:
    """Screen ``n`` candidates in a fresh process."""
    write_points(scratch / f"{n}.csv", n)
    command = [sys.executable, __file__, "--inside", str(scratch), "--sizes", str(n), *arguments]
    environment = {"OMP_NUM_THREADS": "1"} | os.environ  # threads that wait for each other tell of a busy machine alone
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def line(n: int, now: dict[str, float], before: dict[str, float] | None) -> str:
    """One row of the table."""
    per_million = now["seconds"] / n * 1e6
    figures = f"{n:10,} {now['seconds']:8.1f} {n / now['seconds']:8.0f} {per_million:14.0f} {now['peak']:9.0f} "
    figures += f"{now['table']:10.1f} {now['files']:10.1f} {now['beyond']:13.0f}"
    if before is None:
        return figures
    ratios = {name: now[name] / before[name] for name in ("seconds", "beyond")}
    return f"{figures} | time x{ratios['seconds']:.2f}, peak - table x{ratios['beyond']:.2f}"


def main() -> None:
    """Print one line a size, each with its ratio to the size before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of candidates")
    parser.add_argument("--merge-um", type=float, default=0.0, help="as of wsiamf screen; default: %(default)g, none")
    parser.add_argument("--gzip-geojson", action="store_true", help="as of wsiamf screen")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        screen(chosen.inside, chosen.sizes[0], merge_um=chosen.merge_um, gzip_geojson=chosen.gzip_geojson)
        return
    print(
        "candidates  seconds  crops/s  s per million  peak MiB  table MiB  files MiB  peak - table | to the size before"
    )
    before: dict[str, float] | None = None
    arguments = ["--merge-um", str(chosen.merge_um), *(["--gzip-geojson"] if chosen.gzip_geojson else [])]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_slide(scratch / "slide.tiff")
        write_random_bundle(scratch / "model", backbone=BACKBONE, hidden=16, n_experts=2, view_px=64, input_px=32)
        for n in chosen.sizes:
            now = measure(scratch, n, arguments)
            print(line(n, now, before), flush=True)
            before = now


if __name__ == "__main__":
    main()
