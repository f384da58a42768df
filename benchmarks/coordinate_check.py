"""How often the coordinate check names a mistake, and how often it is wrong: ``python benchmarks/coordinate_check.py``.

Sets of points are drawn on painted slides of several sizes, tissues and bounds, on the nuclei of real slides and on the
sample, with 3 to 5,000 points. Each set is checked as it is and spoilt in every way. Rules were tuned on the even seeds
(``--half tuning``); the table that is printed is of the odd ones. Same arguments, same table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.painted_slide import Painted, Shape, paint_slide  # noqa: E402
from wsiamf.candidates import Placement  # noqa: E402
from wsiamf.coordinates import SlideMap, check_points, read_overview  # noqa: E402
from wsiamf.geometry import SlideFrame  # noqa: E402
from wsiamf.regions import tissue_mask  # noqa: E402
from wsiamf.slides import Slide, open_slide  # noqa: E402

Floats = NDArray[np.float64]

REAL: Final = "slides/CMU-1-Small-Region.svs"
SIZES: Final = (3, 5, 8, 15, 40, 150, 1000, 5000)
SHAPES: Final[tuple[Shape, ...]] = ("full", "blobs", "strips", "oval")
OUTCOMES: Final = ("no alarm", "warned", "right option", "stopped, none named", "WRONG option")
_SAME_UM: Final = 12.0
_CLICK_UM: Final = 1.5
_BESIDE_UM: Final = 6.2  # the corner of MIDOG's boxes taken for their middle is as far off, either way

MISTAKES: Final[dict[str, tuple[Placement, Placement]]] = {
    "none": (Placement(), Placement()),
    "none, but 6 um beside the figures": (Placement(), Placement()),
    "um taken for px": (Placement(unit="um"), Placement()),
    "mm taken for px": (Placement(unit="mm"), Placement()),
    "px taken for um": (Placement(), Placement(unit="um")),
    "x and y swapped": (Placement(swap_xy=True), Placement()),
    "20x points on a 40x slide": (Placement(scale=2.0), Placement()),
    "40x points on a 20x slide": (Placement(scale=0.5), Placement()),
    "points of a level 4 times coarser": (Placement(scale=4.0), Placement()),
    "points 4 times finer": (Placement(scale=0.25), Placement()),
    "bounds taken off": (Placement(frame="qupath"), Placement()),
    "bounds not taken off": (Placement(), Placement(frame="qupath")),
    "y axis upside down": (Placement(flip_y=True), Placement()),
}
"""How the file's numbers should have been placed, and how they were."""
OTHER_SLIDE: Final = "another slide"


@dataclass(frozen=True)
class Case:
    """Right points of one slide.

    Args:
        source: ``painted``, ``real`` or ``sample``.
        slide: The slide.
        seen: Its overview.
        points: (N, 2) level-0 px.
        others: (M, 2) level-0 px of another slide; empty for none.
    """

    source: str
    slide: Slide
    seen: SlideMap
    points: Floats
    others: Floats


def seen_of(slide: Slide) -> SlideMap:
    """What the tissue thread of a screening makes of a slide."""
    overview = read_overview(slide, slide.mpp, Event())
    return SlideMap(overview, tissue_mask(overview.coarse.pixels, overview.coarse.scale, slide.frame))


def painted(seed: int) -> Painted:
    """A slide of a kind that follows from the seed."""
    rng = np.random.default_rng(1000 + seed)
    mpp = float(rng.choice([0.2214, 0.25, 0.2527, 0.5]))
    size = (rng.uniform(1.2, 6.0), rng.uniform(1.2, 6.0))
    square = rng.random() < 0.2
    return paint_slide(
        seed,
        size_mm=(size[0], size[0]) if square else size,
        shape=SHAPES[seed // 2 % 4],
        mpp=mpp,
        down=4 if mpp > 0.3 else 8,
        bounds_um=(rng.uniform(40, 2500), rng.uniform(40, 2500)) if seed // 2 % 3 else None,
        nuclei_mm2=float(rng.choice([400, 1500, 4000])),
        n_figures=int(rng.choice([200, 1500])),
        clustered=bool(rng.random() < 0.5),
        figure_density=float(rng.choice([0.3, 0.5, 0.6])),
    )


def drawn(rng: np.random.Generator, made: Painted, n: int) -> Floats:
    """Figures, nuclei taken for figures, and a few places on nothing, as people and detectors point at them."""
    figures = made.figures[rng.permutation(len(made.figures))]
    n_wrong = rng.binomial(n, 0.25)
    nuclei = made.nuclei[rng.integers(len(made.nuclei), size=max(n_wrong, n - len(figures)))]
    chosen = np.concatenate([figures[: n - n_wrong], nuclei])[:n]
    stray = rng.random(len(chosen)) < 0.05
    chosen[stray] += rng.normal(0, 40 / made.slide.mpp, (int(stray.sum()), 2))
    return _clicked(rng, chosen, made.slide.frame)


def _clicked(rng: np.random.Generator, points: Floats, frame: SlideFrame) -> Floats:
    moved = points + rng.normal(0, _CLICK_UM / frame.mpp, points.shape)
    return np.asarray(moved.clip(0, [frame.width - 1, frame.height - 1]).round(1))


def cases(half: int, n_slides: int, data: Path | None) -> Iterator[Case]:
    """The sets of one half of the seeds."""
    for seed in range(half, 2 * n_slides, 2):
        made, other = painted(seed), painted(seed + 2 * n_slides)
        seen = seen_of(made.slide)
        rng = np.random.default_rng(seed)
        for n in rng.permutation(SIZES)[:4].tolist():
            yield Case("painted", made.slide, seen, drawn(rng, made, n), drawn(rng, other, n))
    sample = ROOT / "sample_data"
    points = np.loadtxt(sample / "points.csv", delimiter=",", skiprows=1, usecols=(1, 2))
    yield from _subsets("sample", sample / "sample.tiff", points, half)
    if data is not None:
        yield from _subsets("real", data / REAL, dark_nuclei(data / REAL), half)


def _subsets(source: str, path: Path, points: Floats, half: int) -> Iterator[Case]:
    with open_slide(path) as slide:
        seen = seen_of(slide)
        for seed in range(half, 20, 2):
            rng = np.random.default_rng(seed)
            for n in (8, 20, 60):
                chosen = points[rng.permutation(len(points))[:n]]
                yield Case(source, slide, seen, _clicked(rng, chosen, slide.frame), np.empty((0, 2)))


def dark_nuclei(path: Path, n: int = 400) -> Floats:
    """(N, 2) Stand-ins for figures: the darkest nuclei of a slide at level 0, at least 15 um from each other."""
    with open_slide(path) as slide:
        pixels = slide.read_region((0, 0), 0, slide.dimensions)
        mpp = slide.mpp
    red = ndimage.gaussian_filter(pixels[..., 0].astype(np.float32), 2.0 / mpp)
    darkest = ndimage.minimum_filter(red, round(15 / mpp)) == red
    rows, columns = np.nonzero(darkest & (red < np.quantile(red, 0.15)))
    order = np.argsort(red[rows, columns], kind="stable")[:n]
    return np.stack([columns[order], rows[order]], axis=1).astype(np.float64)


def file_numbers(points: Floats, placement: Placement, frame: SlideFrame) -> tuple[Floats, Floats]:
    """What a file holds whose points are right when placed so: the way back, step by step."""
    x, y = points.T
    height = frame.height
    if placement.frame == "qupath":
        x, y = frame.qupath_from_level0(x, y)
        height = frame.bounds.height
    y = height - y if placement.flip_y else y
    x, y = (y, x) if placement.swap_xy else (x, y)
    unit_um = {"px": frame.mpp, "um": 1.0, "mm": 1000.0}[placement.unit]
    decimals = {"px": 1, "um": 2, "mm": 4}[placement.unit]
    factor = frame.mpp / unit_um / placement.scale
    return (x * factor).round(decimals), (y * factor).round(decimals)


def judged(case: Case, mistake: str) -> str:
    """One of ``OUTCOMES``."""
    frame = case.slide.frame
    if mistake == OTHER_SLIDE:
        right, used = None, Placement()
        x, y = case.others.T
    else:
        right, used = MISTAKES[mistake]
        beside = _BESIDE_UM / frame.mpp if "beside" in mistake else 0.0
        x, y = file_numbers(case.points - beside, right, frame)
    finding = check_points(x, y, used, case.slide, case.seen)
    if finding.placement is not None:
        if right is None or right == used:
            return "WRONG option"
        (a, b), (c, d) = finding.placement.level0(x, y, frame), right.level0(x, y, frame)
        same = float(np.median(np.hypot(a - c, b - d))) * frame.mpp < _SAME_UM
        return "right option" if same else "WRONG option"
    if finding.stops:
        return "stopped, none named"
    return "warned" if finding.verdict == "doubtful" else "no alarm"


def run(half: int, n_slides: int, data: Path | None, *, verbose: bool) -> dict[tuple[str, str], Counter[str]]:
    """Outcomes by (source, mistake)."""
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    seconds = []
    for case in cases(half, n_slides, data):
        for mistake in (*MISTAKES, OTHER_SLIDE):
            no_bounds = (case.slide.bounds.x, case.slide.bounds.y) == (0, 0)
            if ("bounds" in mistake and no_bounds) or (mistake == OTHER_SLIDE and not len(case.others)):
                continue
            began = time.perf_counter()
            outcome = judged(case, mistake)
            if mistake == "none":
                seconds.append(time.perf_counter() - began)
            table[case.source, mistake][outcome] += 1
            wrong = outcome == "WRONG option" or (mistake == "none" and outcome != "no alarm")
            if verbose and wrong:
                print(f"{outcome}: {mistake}, {len(case.points)} points, {case.slide.frame}")
    print(f"right points: median {np.median(seconds) * 1e3:.0f} ms a check beyond the overview", file=sys.stderr)
    return table


def show(table: dict[tuple[str, str], Counter[str]], sources: tuple[str, ...]) -> None:
    """The table as Markdown."""
    print(f"\n| {' + '.join(sources)}: mistake made | sets | {' | '.join(OUTCOMES)} |")
    print("| --- |" + " --- |" * (len(OUTCOMES) + 1))
    for mistake in (*MISTAKES, OTHER_SLIDE):
        counts: Counter[str] = sum((table[source, mistake] for source in sources), Counter())
        if counts:
            print(f"| {mistake} | {counts.total()} | {' | '.join(str(counts[name]) for name in OUTCOMES)} |")


def main() -> None:
    """Make the sets, check them and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("tuning", "report"), default="report", help="which half of the seeds")
    parser.add_argument("--slides", type=int, default=20, help="painted slides of a half; default: %(default)s")
    parser.add_argument("--data", type=Path, help="folder that holds slides/CMU-1-Small-Region.svs")
    parser.add_argument("--verbose", action="store_true", help="show every wrong outcome")
    chosen = parser.parse_args()
    table = run(("tuning", "report").index(chosen.half), chosen.slides, chosen.data, verbose=chosen.verbose)
    for sources in (("painted",), ("sample",), ("real",), ("painted", "sample", "real")):
        show(table, sources)


if __name__ == "__main__":
    main()
