"""How time and memory of a whole screening grow with the number of candidates: ``python benchmarks/growth.py``.

Each size runs as ``wsiamf screen`` does, in a process of its own, on one made slide and with a tiny untrained network, so that
the other steps show. The table's size is that of ``predictions.parquet`` read back.
Candidates lie anywhere and nothing is merged unless ``--merge-um`` says so: a million do not fit 25 mm2 at 7.5 um from each
other, so that merging leaves fewer to classify. Linux only, since peak memory is read from ``/proc``.
"""

from __future__ import annotations

import argparse
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

from wsiamf.inference.openvino_files import CACHE_VARIABLE
from wsiamf.predictions import read_predictions

SIZES = (1_000, 20_000, 100_000, 1_000_000)
SIDE_PX = 20_000
TILE_PX = 256
MPP = 0.25
DOWNSAMPLES = (1, 4, 16)
BACKBONE = "test_efficientnet"  # timm's own, 0.4 M parameters
MIB = 1 << 20
PROGRAM = """
from pathlib import Path
from wsiamf.cli.main import main
try:
    main()
finally:
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
"""


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


def measure(scratch: Path, n: int, arguments: list[str]) -> dict[str, float]:
    """Screen ``n`` candidates in a process of the program; seconds of all of it, MiB at its peak and of what it leaves."""
    write_points(scratch / f"{n}.csv", n)
    command = [sys.executable, "-c", PROGRAM, "-q", "screen", str(scratch / "slide.tiff"), "--overwrite"]
    command += ["--points", str(scratch / f"{n}.csv"), "--out", str(scratch / "out"), "--model", str(scratch / "model")]
    # threads that wait for each other tell of a busy machine alone
    environment = {"OMP_NUM_THREADS": "1", CACHE_VARIABLE: str(scratch / "cache")} | os.environ
    started = time.perf_counter()
    done = subprocess.run([*command, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    seconds = time.perf_counter() - started
    folder, peak = done.stdout.splitlines()
    table = int(read_predictions(Path(folder)).memory_usage(deep=True).sum()) / MIB
    files = sum(file.stat().st_size for file in Path(folder).iterdir()) / MIB
    return {"seconds": seconds, "peak": float(peak), "table": table, "files": files, "beyond": float(peak) - table}


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
    parser.add_argument("--backend", default="auto", help="as of wsiamf screen; torch: with torch in memory")
    chosen = parser.parse_args()
    print(
        "candidates  seconds  crops/s  s per million  peak MiB  table MiB  files MiB  peak - table | to the size before"
    )
    before: dict[str, float] | None = None
    arguments = ["--merge-um", str(chosen.merge_um), "--backend", chosen.backend, "--device", "cpu"]
    arguments += ["--gzip-geojson"] if chosen.gzip_geojson else []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_slide(scratch / "slide.tiff")
        write_random_bundle(scratch / "model", backbone=BACKBONE, hidden=16, n_experts=2, view_px=64, input_px=32)
        measure(scratch, min(SIZES), arguments)  # converts the model, for which it loads torch; later ones find it made
        for n in chosen.sizes:
            now = measure(scratch, n, arguments)
            print(line(n, now, before), flush=True)
            before = now


if __name__ == "__main__":
    main()
