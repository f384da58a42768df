"""How fast wsiamf reads, classifies and screens, beside the rivals: all sides in turn, in one run, on two cores.

``python benchmarks/speed.py [--rivals]``

Makes its slide (``made_slide.py``), prints one table with ratios and targets, and saves it as ``speed.md`` and ``speed.json``
in the work folder. ``--rivals`` adds TIAToolbox, for which it makes an environment of its own. Leave the machine alone
meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from arithmetic import OPERATIONS, matrix_products
from eager import EagerModel, default_model, naive_pipeline, paper_model
from made_slide import N_POINTS, ROOT, SIDE, WORK, made_slide
from numpy.typing import NDArray
from reading import Points, TileDecoding, openslide_crops, read_per_point, read_sorted
from speed_table import Row, machine_facts, rate_row, save
from tiatoolbox_environment import run_tiatoolbox, tiatoolbox_python
from turns import Timed, in_turn

from wsiamf import load_model, open_slide, screen_slide
from wsiamf.bundle import open_bundle
from wsiamf.crops import iter_crops, plan_reading
from wsiamf.inference import Classifier
from wsiamf.model import count_macs
from wsiamf.screen.classify import classify_candidates
from wsiamf.spec import ModelSpec
from wsiamf.statuses import OK

PRECISIONS: Final = ("f32", "int8")
EAGER: Final = "torch eager"
NAIVE: Final = "OpenSlide per point, torch eager"
BOUND: Final = "bound 1/(1/reading + 1/classifying)"
PAPER: Final = "the same with the paper's network"
RIVAL: Final = "TIAToolbox"

# The least ratios aimed at.
READING_OPENSLIDE: Final = 2.5
READING_LIMIT: Final = 0.75
CLASSIFYING_EAGER: Final = {"f32": 4.2, "int8": 6.0}
SCREEN_BOUND: Final = 0.85
SCREEN_NAIVE: Final = {"f32": 3.5, "int8": 4.5}
SCREEN_PAPER: Final = 25.0

FIRST_START_S: Final = 6.0
"""A first process should take less."""

RIVAL_TOLERANCE: Final = 0.02
"""Largest difference of p_atypical at which TIAToolbox has computed the same."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        side: Side of the slide, in px of level 0.
        n_points: Candidates of each distribution.
        n_classified: Crops that are classified from memory.
        n_paper: Candidates that the paper's network is given; its rate is the same for all.
        rounds: How often each side runs.
    """

    side: int
    n_points: int
    n_classified: int
    n_paper: int
    rounds: int


WHOLE: Final = Size(SIDE, N_POINTS, 1024, 300, 3)
QUICK: Final = Size(12_000, 200, 64, 32, 1)


@dataclass
class Run:
    """One run: what is compared, and what has been found so far.

    Args:
        size: How much is done.
        slide: The made slide.
        points: Centres in level-0 px by the name of their distribution, and the files that hold them.
        scratch: Folder for what the sides write.
        rival: Python of TIAToolbox's environment, or None.
        rows, notes: The table, and what stands below it.
        reading, classifying: Our crops per second, by distribution and by precision.
        seconds: What each side of each section took, round by round.
        rival_found: What TIAToolbox found in its last turn, one a round.
    """

    size: Size
    slide: Path
    points: dict[str, tuple[Points, Path]]
    scratch: Path
    rival: Path | None
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reading: dict[str, float] = field(default_factory=dict)
    classifying: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    rival_found: list[dict[str, Any]] = field(default_factory=list)

    def time(self, title: str, sides: Mapping[str, Callable[[], Any]]) -> dict[str, Timed]:
        """Run the sides in turn and keep what they took."""
        print(title, file=sys.stderr, flush=True)
        timed = in_turn(sides, self.size.rounds)
        self.keep(title, timed)
        return timed

    def keep(self, title: str, timed: Mapping[str, Timed]) -> None:
        """Keep what the sides of a section took."""
        self.seconds[title] = {name: {"wall_s": one.rounds_s, "cpu_s": one.cpu_s} for name, one in timed.items()}

    def note_difference(self, name: str, p: NDArray[np.float64], p_eager: NDArray[np.float64]) -> float:
        """Note and return the largest difference of a side's p_atypical from torch eager's."""
        difference = float(np.abs(p - p_eager).max())
        self.notes.append(f"p_atypical of {name}: at most {difference:.2g} from torch eager's")
        return difference


def read_ours(slide: Path, points: Points, spec: ModelSpec) -> None:
    """Every crop through wsiamf; the slide is opened anew, as on the other sides, for an open one may keep tiles."""
    with open_slide(slide) as opened:
        plan = plan_reading(opened.mpp, opened.level_downsamples, target_mpp=spec.mpp, tolerance=spec.mpp_tolerance)
        for _ in iter_crops(opened, points[:, 0], points[:, 1], plan, size_px=spec.crop_px, batch_size=32):
            pass


def compare_reading(run: Run, name: str) -> None:
    """Rows of reading one set of points."""
    points, _ = run.points[name]
    n_threads = len(os.sched_getaffinity(0))
    limit = TileDecoding(run.slide, points)
    sides = {
        "ours": partial(read_ours, run.slide, points, open_bundle().spec),
        "OpenSlide per point": partial(read_per_point, run.slide, points),
        "OpenSlide sorted, a thread a core": partial(read_sorted, run.slide, points, n_threads),
        "each tile decoded once": partial(limit.run, n_threads),
    }
    targets = {"OpenSlide per point": READING_OPENSLIDE, "each tile decoded once": READING_LIMIT}
    timed = run.time(f"reading, {name}", sides)
    rates = {side: len(points) / one.seconds for side, one in timed.items()}
    for side in list(sides)[1:]:
        run.rows.append(rate_row(f"reading, {name}", rates["ours"], side, rates[side], targets.get(side)))
    run.reading[name] = rates["ours"]


def compare_classifying(run: Run, eager: EagerModel, ours: dict[str, Classifier]) -> None:
    """Rows of classifying crops from memory."""
    points, _ = run.points["uniform"]
    crops_NHWC = np.stack(list(openslide_crops(run.slide, points[: run.size.n_classified])))
    sides: dict[str, Callable[[], Any]] = {EAGER: partial(eager.classify, crops_NHWC)}
    sides |= {name: partial(model.predict, crops_NHWC) for name, model in ours.items()}
    for side in sides.values():
        side()  # the first pass is always slow
    timed = run.time("classifying", sides)
    rates = {side: len(crops_NHWC) / one.seconds for side, one in timed.items()}
    for name in ours:
        run.classifying[name] = rates[name]
        run.rows.append(rate_row(f"classifying, {name}", rates[name], EAGER, rates[EAGER], CLASSIFYING_EAGER[name]))
        run.note_difference(name, timed[name].results[-1].p_atypical, timed[EAGER].results[-1])
    compare_arithmetic(run, rates["f32"], rates[EAGER])


def compare_arithmetic(run: Run, ours: float, eager: float) -> None:
    """The row of how busy float32 keeps the processor, and the note of what that leaves room for."""
    products = matrix_products()
    for product in products.values():
        product()
    timed = run.time("matrix products", products)
    fastest = min(timed, key=lambda name: timed[name].seconds)
    limit = OPERATIONS / timed[fastest].seconds
    per_crop = 2 * count_macs(open_bundle().spec)
    reached, side = f"{ours * per_crop / 1e9:.0f} GFLOP/s", f"matrix products ({fastest}) {limit / 1e9:.0f} GFLOP/s"
    run.rows.append(Row("arithmetic of classifying, f32", reached, side, ours * per_crop / limit))
    room = limit / (eager * per_crop)
    run.notes.append(f"at the rate of matrix products this network would be {room:.2f} times as fast as {EAGER}")


def read_and_classify(slide: Path, points: Points, model: Classifier) -> None:
    """Every crop read and classified, which ``screen_slide`` does between what it does before and after."""
    table = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "status": OK})
    table["candidate_id"] = table.index.astype(str)
    spec = model.spec
    with open_slide(slide) as opened:
        plan = plan_reading(opened.mpp, opened.level_downsamples, target_mpp=spec.mpp, tolerance=spec.mpp_tolerance)
        classify_candidates(opened, table, model, plan, lambda *_: None)


def compare_screening(run: Run, name: str, models: tuple[EagerModel, EagerModel], ours: dict[str, Classifier]) -> None:
    """Rows of the whole screening of one set of points, beside its bounds, the naive pipelines and TIAToolbox."""
    points, file = run.points[name]
    few = points[: run.size.n_paper]
    sides: dict[str, Callable[[], Any]] = {
        precision: partial(screen_slide, run.slide, file, out=run.scratch, model=model, overwrite=True)
        for precision, model in ours.items()
    }
    sides |= {
        together(precision): partial(read_and_classify, run.slide, points, model) for precision, model in ours.items()
    }
    sides["process"] = partial(screen_process, run.slide, file, run.scratch)
    sides[NAIVE] = partial(naive_pipeline, run.slide, points, models[0])
    sides[PAPER] = partial(naive_pipeline, run.slide, few, models[1])
    if run.rival is not None:
        sides[RIVAL] = partial(run_tiatoolbox, run.rival, run.slide, file, open_bundle().folder)
    timed = run.time(f"screen, {name}", sides)
    rates = {side: len(few if side == PAPER else points) / one.seconds for side, one in timed.items()}
    add_screening_rows(run, name, rates)
    if run.rival is not None:
        add_rival_rows(run, name, rates, timed)


def together(precision: str) -> str:
    """The side that reads and classifies, and does nothing else."""
    return f"reading and classifying, {precision}"


def add_screening_rows(run: Run, name: str, rates: dict[str, float]) -> None:
    """Rows of the whole screening, from crops per second."""
    for precision in PRECISIONS:
        what, rate = f"screen, {name}, {precision}", rates[precision]
        bound = 1 / (1 / run.reading[name] + 1 / run.classifying[precision])
        both = rates[together(precision)]
        run.rows += [
            rate_row(what, rate, BOUND, bound, SCREEN_BOUND),
            rate_row(f"reading and classifying together, {name}, {precision}", both, BOUND, bound),
            rate_row(what, rate, NAIVE, rates[NAIVE], SCREEN_NAIVE[precision]),
            rate_row(what, rate, PAPER, rates[PAPER], SCREEN_PAPER),
        ]
    run.rows.append(rate_row(f"process `wsiamf screen`, {name}", rates["process"], NAIVE, rates[NAIVE]))


def add_rival_rows(run: Run, name: str, rates: dict[str, float], timed: dict[str, Timed]) -> None:
    """Rows beside TIAToolbox, which must have computed the same; its start-up is left out."""
    run.rival_found = found = timed[RIVAL].results
    p_eager = timed[NAIVE].results[-1]
    if run.note_difference(f"{RIVAL}, {name}", np.array(found[-1]["p_atypical"]), p_eager) >= RIVAL_TOLERANCE:
        raise SystemExit("speed.py: TIAToolbox has not computed the same; see the notes.")
    read_s, classify_s = (statistics.median(one[key] for one in found) for key in ("read_s", "classify_s"))
    n = len(p_eager)
    run.rows.append(rate_row(f"reading, {name}", run.reading[name], RIVAL, n / read_s))
    for precision in PRECISIONS:
        run.rows += [
            rate_row(f"classifying, {precision}", run.classifying[precision], f"{RIVAL}, {name}", n / classify_s),
            rate_row(f"screen, {name}, {precision}", rates[precision], RIVAL, n / (read_s + classify_s)),
        ]


def compare_start(run: Run) -> None:
    """The row of a first process, with nothing kept from earlier ones, and of a second on the sample slide."""
    sample = ROOT / "sample_data"
    process = partial(screen_process, sample / "sample.tiff", sample / "points.csv", run.scratch)
    taken = {"first": Timed(), "again": Timed()}
    for _ in range(run.size.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, one in in_turn(dict.fromkeys(taken, partial(process, cache=cache)), 1).items():
                taken[name].rounds_s += one.rounds_s
                taken[name].cpu_s += one.cpu_s
    run.keep("start", taken)
    cold, warm = taken["first"].seconds, taken["again"].seconds
    what = "process `wsiamf screen`, sample slide"
    first, again = f"{cold:.2f} s", f"{warm:.2f} s"
    aim = f"under {FIRST_START_S:g} s"
    run.rows += [
        Row(f"{what}, first time, with an empty cache", first, aim, FIRST_START_S / cold, 1.0, aim),
        Row(f"{what}, again", again, f"first time {first}", cold / warm),
    ]


def screen_process(slide: Path, points: Path, out: Path, *, cache: str | None = None) -> None:
    """``wsiamf --quiet screen`` with its defaults, as a process of its own; ``cache`` takes the user's cache's place."""
    command = [sys.executable, "-m", "wsiamf", "--quiet", "screen", str(slide), "--points", str(points)]
    environment = {**os.environ, "WSIAMF_CACHE": cache} if cache else None
    subprocess.run([*command, "--out", str(out), "--overwrite"], check=True, stdout=subprocess.DEVNULL, env=environment)


def compare(run: Run) -> None:
    """Every section."""
    ours = {name: load_model(backend="openvino", precision=name) for name in PRECISIONS}
    models = default_model(), paper_model()
    for name in run.points:
        compare_reading(run, name)
    compare_classifying(run, models[0], ours)
    for name in run.points:
        compare_screening(run, name, models, ours)
    compare_start(run)
    run.notes.append(f"{PAPER}: {run.size.n_paper} of the {run.size.n_points} candidates, random weights")


def prepare(size: Size, work: Path, scratch: Path, rival: Path | None) -> Run:
    """Make the slide, read it once so that all sides find it in memory, and lay out the points."""
    made = made_slide(work, size.side)
    made.slide.read_bytes()
    points = {}
    for name, source in made.points.items():
        file = scratch / source.name
        lines = source.read_text("utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[: size.n_points + 1]), "utf-8")
        points[name] = np.loadtxt(file, delimiter=",", skiprows=1), file
    return Run(size, made.slide, points, scratch, rival)


def use_cores(n: int) -> None:
    """Keep this process, and those that it starts, to the first n of its cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=WORK, help="folder of slide, results and rivals; default: build/bench"
    )
    parser.add_argument("--quick", action="store_true", help="a small slide and one round: does it work at all")
    parser.add_argument("--rounds", type=int, help="how often each side runs; default: 3, or 1 where quick")
    parser.add_argument("--cores", type=int, default=2, help="cores that every side may use; default: %(default)s")
    parser.add_argument("--rivals", action="store_true", help="with TIAToolbox, installed in the work folder")
    parser.add_argument("--tiatoolbox-python", type=Path, help="with TIAToolbox, from an environment that holds it")
    return parser.parse_args()


def main() -> None:
    """Run everything and print the table."""
    arguments = _arguments()
    use_cores(arguments.cores)
    rival = arguments.tiatoolbox_python or (tiatoolbox_python(arguments.work) if arguments.rivals else None)
    with tempfile.TemporaryDirectory() as scratch:
        size = QUICK if arguments.quick else WHOLE
        size = replace(size, rounds=arguments.rounds or size.rounds)
        run = prepare(size, arguments.work, Path(scratch), rival)
        compare(run)
    facts = machine_facts(run.rival_found[-1] if run.rival_found else None)
    order = [row.what for row in run.rows]
    rows = sorted(run.rows, key=lambda row: order.index(row.what))
    print(save(arguments.work, rows, facts, run.notes, run.seconds), end="")


if __name__ == "__main__":
    main()
