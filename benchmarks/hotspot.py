"""The exact hotspot search on 100,000 figures, beside building a k-d tree of them: ``python benchmarks/hotspot.py``."""

from __future__ import annotations

import statistics
import time

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wsiamf.geometry import hotspot_sides_um
from wsiamf.regions.region import multipolygon
from wsiamf.summary.hotspot import find_hotspots

N_FIGURES = 100_000
SIDE_PX = 40_000
MPP = 0.25
ROUNDS = 3
Points = NDArray[np.float64]


def uniform(rng: np.random.Generator) -> Points:
    """Figures anywhere."""
    return rng.uniform(0, SIDE_PX, (N_FIGURES, 2))


def clustered(rng: np.random.Generator) -> Points:
    """Figures in 300 clumps of 400 um."""
    centers = rng.uniform(0, SIDE_PX, (300, 2))
    return np.clip(centers[rng.integers(300, size=N_FIGURES)] + rng.normal(0, 1600, (N_FIGURES, 2)), 0, SIDE_PX)


def tissue(rng: np.random.Generator) -> shapely.MultiPolygon:
    """A blob with a hundred holes."""
    blob = shapely.Point(SIDE_PX / 2, SIDE_PX / 2).buffer(SIDE_PX * 0.48, quad_segs=64)
    holes = [shapely.Point(place).buffer(400) for place in rng.uniform(0, SIDE_PX, (100, 2))]
    return multipolygon(blob.difference(shapely.union_all(holes)))


def search_seconds(points: Points, scores: Points, area: shapely.MultiPolygon) -> float:
    """Wall time of the search for the three hotspots of 2.37 mm2."""
    long_px, short_px = (side / MPP for side in hotspot_sides_um(2.37))
    started = time.perf_counter()
    find_hotspots(points[:, 0], points[:, 1], scores, area, sides_px=(long_px, short_px))
    return time.perf_counter() - started


def tree_seconds(points: Points) -> float:
    """Wall time of building a k-d tree."""
    started = time.perf_counter()
    cKDTree(points)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians of both sides and their ratio for each layout."""
    rng = np.random.default_rng(0)
    area = tissue(rng)
    for name, layout in (("uniform", uniform), ("clustered", clustered)):
        points = layout(rng)
        scores = rng.random(N_FIGURES)
        ours, tree = [], []
        for _ in range(ROUNDS):
            ours.append(search_seconds(points, scores, area))
            tree.append(tree_seconds(points))
        ratio = statistics.median(ours) / statistics.median(tree)
        print(
            f"{name:<10} hotspots {statistics.median(ours):.2f} s, k-d tree {statistics.median(tree):.2f} s, ratio {ratio:.0f}"
        )


if __name__ == "__main__":
    main()
