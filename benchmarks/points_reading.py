"""Time and memory of reading a points file of each format: ``python benchmarks/points_reading.py``.

Each format is read in a process of its own, nothing merged. Seconds are of one processor, since machines are shared. Peak
memory is the whole process's; what it has before it reads, its libraries, stands beside it. Linux only: from ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from made_points import MPP, SLIDE_NAME, write_points

from wsiamf.candidates import FORMATS, read_candidates
from wsiamf.candidates.raw import NamedSlide
from wsiamf.geometry import Bounds, SlideFrame

SIDE_PX = 200_000
MIB = 1 << 20
SLIDE = NamedSlide(
    SLIDE_NAME, SlideFrame(SIDE_PX, SIDE_PX, MPP, Bounds(0, 0, SIDE_PX, SIDE_PX), centre_offset_nm=(0.0, 0.0))
)


def resident_mib(field: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of this process."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def read(path: Path, name: str) -> None:
    """Read a file in this process and print what it took as JSON."""
    before = resident_mib("VmRSS")
    started = time.process_time()
    found = read_candidates(path, SLIDE, merge_um=0)
    seconds = time.process_time() - started
    if found.format != name:
        raise SystemExit(f"{name} was read as {found.format}")
    usable = float(np.mean(found.table["status"] == "ok"))
    print(json.dumps({"seconds": seconds, "before": before, "peak": resident_mib("VmHWM"), "usable": usable}))


def measure(path: Path, name: str) -> dict[str, float]:
    """Read a file in a fresh process."""
    command = [sys.executable, __file__, "--inside", str(path), "--formats", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={"OMP_NUM_THREADS": "1"} | os.environ)
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def main() -> None:
    """Print one row of a Markdown table a format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000, help="number of points")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        read(chosen.inside, chosen.formats[0])
        return
    places = [
        tuple(place) for place in np.random.default_rng(0).uniform(0, SIDE_PX, (chosen.points, 2)).round(2).tolist()
    ]
    print(
        "| format | file MiB | processor seconds | peak MiB | of them libraries |\n| --- | ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points"
        for name in chosen.formats:
            path.unlink(missing_ok=True)
            write_points(path, name, places, SIDE_PX)
            taken = measure(path, name)
            if taken["usable"] < 1:
                raise SystemExit(f"{name}: only {taken['usable']:.1%} of the points were usable")
            size = path.stat().st_size / MIB
            figures = f"{size:.0f} | {taken['seconds']:.1f} | {taken['peak']:.0f} | {taken['before']:.0f}"
            print(f"| `{name}` | {figures} |", flush=True)


if __name__ == "__main__":
    main()
