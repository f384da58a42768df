"""Two workers of one core each, beside one process held to one core: ``python benchmarks/cohort_workers.py``.

Both sides screen the same made slides of 1,000 candidates with the default model, through the command line and from an empty
folder, children and cluster started included; a second pass over each finished folder shows what a slide costs that is done
already. Linux only: the single process is held to its core by its affinity, which its child inherits.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pandas as pd
from made_slide import WORK, made_slide
from turns import in_turn

SIDE = 12_000
N_CANDIDATES = 1000


def write_manifest(folder: Path, n_slides: int) -> Path:
    """Hard links to one made slide under ``n_slides`` names, each with candidates of its own."""
    made = made_slide(WORK, SIDE)
    points = pd.read_csv(made.points["uniform"])
    rows = []
    for number in range(n_slides):
        slide = folder / f"slide-{number:03d}.svs"
        os.link(made.slide, slide)
        chosen = points.sample(N_CANDIDATES, random_state=number)
        chosen.to_csv(slide.with_suffix(".csv"), index=False)
        rows.append((slide.name, slide.with_suffix(".csv").name))
    manifest = folder / "manifest.csv"
    pd.DataFrame(rows, columns=["slide", "points"]).to_csv(manifest, index=False)
    return manifest


def run_cohort(manifest: Path, out: Path, workers: int, cores: set[int]) -> None:
    """One ``wsiamf cohort`` from an empty folder, on the cores given."""
    shutil.rmtree(out, ignore_errors=True)
    _command(manifest, out, workers, cores)


def _command(manifest: Path, out: Path, workers: int, cores: set[int]) -> None:
    command = [sys.executable, "-m", "wsiamf", "-q", "cohort", str(manifest), "--out", str(out)]
    command += ["--workers", str(workers), "--threads-per-worker", "1"]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # what is started now inherits it
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Measure in turn, and print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        manifest = write_manifest(folder, arguments.slides)
        one, two = folder / "one", folder / "two"
        taken = in_turn(
            {
                "one process, one core": partial(run_cohort, manifest, one, 0, set(cores[:1])),
                "two workers": partial(run_cohort, manifest, two, 2, set(cores)),
            },
            arguments.rounds,
        )
        for side, timed in taken.items():
            print(f"{side}: {timed.seconds:.1f} s, {arguments.slides / timed.seconds:.3f} slides/s")
        times = [timed.seconds for timed in taken.values()]
        print(f"two workers / twice one process: {times[0] / times[1] / 2:.2f}")
        started = time.perf_counter()
        _command(manifest, one, 0, set(cores[:1]))
        print(f"all done already: {time.perf_counter() - started:.1f} s for {arguments.slides} slides, start included")


if __name__ == "__main__":
    main()
