"""What ``report.html`` costs a screening: the same 4,000 candidates of the sample slide with it and without, in turn."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from wsiamf import load_model, screen_slide

ROOT = Path(__file__).resolve().parent.parent
N_POINTS = 4_000
SIDE_PX = 2_400


def main() -> None:
    """Print seconds of both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("f32", "int8"), default="int8")
    chosen = parser.parse_args()
    model = load_model(precision=chosen.precision)
    x, y = np.random.default_rng(0).uniform(100, SIDE_PX, (2, N_POINTS))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as scratch:
        points = Path(scratch) / "points.csv"
        pd.DataFrame({"x": x, "y": y}).to_csv(points, index=False)
        for _ in range(chosen.rounds):
            for report in (True, False):
                start = time.perf_counter()
                screen_slide(
                    ROOT / "sample_data" / "sample.tiff",
                    points,
                    out=Path(scratch) / "out",
                    model=model,
                    overwrite=True,
                    merge_um=0,
                    force=True,
                    report=report,
                )
                seconds[report].append(time.perf_counter() - start)
    ratio = median(seconds[True]) / median(seconds[False])
    print(f"with report {median(seconds[True]):.2f} s, without {median(seconds[False]):.2f} s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
