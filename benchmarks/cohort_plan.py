"""What a cohort costs before and beside its screening: checking the manifest, resuming over slides that are done, the tables.

Tiny simulated slides: copies of one TIFF with their number appended, and the result of one of them with the key of each.
Points come from one CSV for all slides, or from one for each. Each line is a fresh process; its files are written by another.
``collect`` makes every part of ``predictions/``, as after the first run; ``again`` is a collection over parts that stand.

    python benchmarks/cohort_plan.py
    python benchmarks/cohort_plan.py --sizes 500 --points own
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tifffile

from wsiamf.bundle import open_bundle
from wsiamf.candidates.own_rows import own_rows_sha256
from wsiamf.cohort.collecting import collect
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.manifest import read_manifest
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Plan, due, write_plan
from wsiamf.config import ScreenOptions
from wsiamf.files import dump_json
from wsiamf.inference import load_model
from wsiamf.screen import screen_slide
from wsiamf.screen.key import run_key
from wsiamf.slides import read_fingerprint

SIZES = (1_000, 10_000)
POINTS = ("shared", "own")
OPTIONS = ScreenOptions(mpp=0.25)
ROWS_A_SLIDE = 10
STEPS = ("check", "write", "due", "collect", "again")


def write_inputs(folder: Path, n: int, points: str) -> None:
    """``n`` slides, their points and the manifest."""
    (folder / "slides").mkdir()
    first = folder / "first.tiff"
    tifffile.imwrite(first, np.zeros((64, 64, 3), np.uint8), photometric="rgb", tile=(64, 64), metadata=None)
    tiff = first.read_bytes()
    lines = ["slide,points,case_id"]
    shared = ["slide,x,y,score"]
    for k in range(n):
        name = f"{k:06}"
        (folder / "slides" / f"{name}.tiff").write_bytes(tiff + name.encode())
        rows = [f"{name}.tiff,{k % 64},{row},0.5" for row in range(ROWS_A_SLIDE)]
        shared += rows
        own = f"slides/{name}.csv"
        if points == "own":
            (folder / own).write_text("\n".join([shared[0], *rows]) + "\n")
        lines.append(f"slides/{name}.tiff,{own if points == 'own' else 'points.csv'},case {k // 3}")
    (folder / "points.csv").write_text("\n".join(shared) + "\n")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")


def write_results(folder: Path) -> None:
    """A plan, and for each of its slides a ``run.json`` with the key that it has today."""
    places = Places(folder / "out")
    items = read_manifest(folder / "manifest.csv")
    write_plan(plan_of(tuple(items)), places)
    model = load_model(device="cpu", backend="openvino")
    assert items[0].points is not None
    options = OPTIONS.model_dump(exclude={"report"})
    screen = screen_slide(items[0].slide, items[0].points, out=folder / "one", model=model, report=False, **options)
    record = json.loads((screen.folder / "run.json").read_text("utf-8"))
    for item in items:
        assert item.points is not None
        key = run_key(
            fingerprint=read_fingerprint(item.slide),
            points_rows_sha256=own_rows_sha256(item.points, item.slide.name, None),
            regions_sha256=None,
            named_regions_sha256=None,
            options=OPTIONS,
            error_rates=None,
            **asdict(classes()),
        )
        own = places.folder(item.slide_id)
        own.mkdir()
        for name in ("summary.json", "predictions.parquet"):
            shutil.copy(screen.folder / name, own / name)
        slide = record["slide"] | {"name": item.slide.name, "fingerprint": key["slide"]}
        places.record(item.slide_id).write_text(dump_json(record | {"key": key, "slide": slide}))


def classes() -> Classes:
    """What the results are computed with."""
    return Classes("openvino", "f32", "cpu", open_bundle().sha256)


def plan_of(items: tuple[Item, ...]) -> Plan:
    """Of these items and the default model."""
    return Plan({}, None, None, OPTIONS.model_dump(mode="json"), {}, items)


def resume(folder: Path) -> None:
    """All that a run over slides that are done does, but for starting its workers; prints seconds and peak memory as JSON."""
    before = peak_mib()
    began = time.perf_counter()
    items = tuple(read_manifest(folder / "manifest.csv"))
    checked = time.perf_counter()
    plan = plan_of(items)
    places = Places(folder / "out")
    write_plan(plan, places)
    planned = time.perf_counter()
    found = due(plan, places, classes())
    judged, peak_due = time.perf_counter(), peak_mib()
    assert len(found.done) == len(items), "a slide that is done was not found so"
    del found
    collected = collect(places)
    first = time.perf_counter()
    assert collected.n_failed == 0, "a slide that is done has no row"
    del collected
    collect(places)
    seconds = {"check": checked - began, "write": planned - checked, "due": judged - planned, "collect": first - judged}
    seconds["again"] = time.perf_counter() - first
    peaks = {"before": before, "peak_due": peak_due, "peak": peak_mib()}
    print(json.dumps({"n": len(items), **peaks, **seconds}))


def peak_mib() -> float:
    """The process's greatest memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(*arguments: str) -> str:
    """Run this script in a fresh process."""
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, env=environment, text=True
    )
    return done.stdout


def line(points: str, now: dict[str, float]) -> str:
    """One row of the table."""
    n = int(now["n"])
    costs = " ".join(f"{1000 * now[name] / n:10.2f}" for name in STEPS)
    planned, whole = (now[name] - now["before"] for name in ("peak_due", "peak"))
    return f"{points:>6} {n:8,} {costs} {now['peak']:9.0f} {1024 * planned / n:9.1f} {1024 * whole / n:9.1f}"


def main() -> None:
    """Print one line a size and kind of points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of slides")
    parser.add_argument("--points", choices=POINTS, nargs="+", default=list(POINTS), help="one file for all, or each")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.prepare:
        write_inputs(chosen.prepare, chosen.sizes[0], chosen.points[0])
        write_results(chosen.prepare)
        return
    if chosen.inside:
        resume(chosen.inside)
        return
    print(f"ms a slide:     {' '.join(f'{name:>10}' for name in STEPS)} | peak MiB, KiB a slide planned, and collected")
    for points in chosen.points:
        for n in chosen.sizes:
            with tempfile.TemporaryDirectory() as folder:
                in_process("--prepare", folder, "--sizes", str(n), "--points", points)
                print(line(points, json.loads(in_process("--inside", folder))), flush=True)


if __name__ == "__main__":
    main()
