"""Make the sample slide, its detector-like points, the truth and the regions: ``python sample_data/make_sample.py [FOLDER]``.

Nothing in the picture was ever tissue: every pixel is computed from a seed, so that the sample may be given away and made
again. The slide is 3072 x 2560 px at 0.25 um/px, a generic tiled TIFF with four levels.
"""

from __future__ import annotations

import csv
import json
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from paint_figures import paint_apoptosis, paint_figure, paint_telophase
from paint_tissue import (
    Layout,
    Outline,
    Points,
    make_layout,
    paint_fat,
    paint_fibroblasts,
    paint_ground,
    paint_lymphocytes,
    paint_red_cells,
    paint_tumor_nuclei,
    scattered_points,
    tumor_cells,
)
from scipy import spatial
from stain_maps import StainMaps

SEED: Final = 20250923
SHAPE: Final = (2560, 3072)  # (height, width)
MPP: Final = 0.25
TILE: Final = 256
LEVELS: Final = 4
JPEG_QUALITY: Final = 82

TUMOR: Final = Outline(1560, 1480, 1160, 1150, ((2, 0.05, 0.4), (3, 0.05, 2.0), (5, 0.02, 1.0)))
NECROSIS: Final = Outline(2130, 1890, 230, 170, ((2, 0.08, 1.0), (3, 0.10, 0.3), (5, 0.04, 2.0)))
HOTSPOT: Final = (1150.0, 1250.0)  # where figures are denser, level-0 px
FAT: Final = (2660.0, 470.0)
VESSEL: Final = (520.0, 2230.0)
FIBRE_ANGLE: Final = 0.5

TELOPHASE: Final = "NMF anaphase-telophase"
APOPTOTIC: Final = "non-mitotic"
NUMBERS: Final = {
    "NMF metaphase": 15,
    "NMF prometaphase": 9,
    "NMF ring shape": 3,
    TELOPHASE: 7,
    "AMF multipolar": 6,
    "AMF segregation": 6,
    "AMF bipolar asymmetric": 3,
    "AMF other": 3,
    APOPTOTIC: 6,
}
EDGE_FIGURE: Final = (1480.5, 2549.5)  # its cell and its crop hang over the lower edge
OUTSIDE_FIGURE: Final = (430.5, 640.5)  # in stroma, outside the tumour's outline
_NAMESPACE: Final = uuid.UUID("6f1d1a3e-5a0b-4c59-9e0e-4a2b8e3a7c11")


@dataclass(frozen=True)
class Figure:
    """One drawn thing that a detector would report: its centre in level-0 px and what was drawn."""

    x: float
    y: float
    drawn_class: str


@dataclass(frozen=True)
class Point:
    """One row of the detector's file, and the figure that it stands for."""

    x: float
    y: float
    score: float
    figure: Figure


def make_sample(folder: Path) -> None:
    """Write ``sample.tiff``, ``points.csv``, ``truth.csv`` and ``regions.geojson`` into a folder that exists."""
    rng = np.random.default_rng(SEED)
    layout = make_layout(rng, SHAPE, TUMOR, NECROSIS)
    places = _figure_places(rng, layout)
    maps = StainMaps(SHAPE, rng)
    _paint_tissue(maps, layout, places)
    figures = _paint_figures(maps, places)
    _write_slide(folder / "sample.tiff", maps.transmitted())
    points = _detections(rng, figures)
    _write_points(folder, points)
    _write_regions(folder / "regions.geojson")


# --- the picture ------------------------------------------------------------------------------------------------------


def _figure_places(rng: np.random.Generator, layout: Layout) -> Points:
    """Centres for all figures, the two special ones and the late telophase first, denser round the hotspot."""
    free = scattered_points(rng, SHAPE, 118, jitter=0.22)
    special = np.array([EDGE_FIGURE, OUTSIDE_FIGURE])
    x, y = free.T
    inside = (layout.at(layout.nests, free) > 34) & (y < SHAPE[0] - 90)
    inside &= (TUMOR.depth(x, y) > 20) & (NECROSIS.depth(x, y) < -45)
    free = free[inside & (spatial.cKDTree(special).query(free)[0] > 120)]
    closeness = np.exp(-(((free - HOTSPOT) / 420) ** 2).sum(axis=1) / 2)
    count = sum(NUMBERS.values()) - len(special) + 1
    chosen = rng.choice(len(free), count, replace=False, p=(closeness + 0.12) / (closeness + 0.12).sum())
    return np.concatenate([special, np.floor(free[chosen]) + 0.5])


def _paint_tissue(maps: StainMaps, layout: Layout, places: Points) -> None:
    rng = maps.rng
    cells = tumor_cells(rng, SHAPE, layout, places)
    paint_ground(maps, layout, np.concatenate([cells, places]))
    fat = FAT + scattered_points(rng, (560, 460), 165, jitter=0.12) - (230, 230)
    fat = fat[layout.at(layout.tissue, fat) > 75]
    paint_fat(maps, fat)
    blood = scattered_points(rng, (150, 320), 25, jitter=0.34) - (160, 75)
    paint_red_cells(maps, VESSEL + blood[np.hypot(*(blood / (150, 65)).T) < 1])
    paint_tumor_nuclei(maps, cells)
    stroma = scattered_points(rng, SHAPE, 62, jitter=0.45)
    free = (layout.at(layout.nests, stroma) < -7) & (layout.at(layout.tissue, stroma) > 12)
    free &= (layout.at(layout.necrosis, stroma) < -10) & (spatial.cKDTree(places).query(stroma)[0] > 45)
    free &= spatial.cKDTree(fat).query(stroma)[0] > 95
    stroma = stroma[free & (np.abs((stroma - VESSEL) / (180, 90)).max(axis=1) > 1)]
    is_lymphocyte = rng.random(len(stroma)) < 0.08 + 0.5 * (
        np.sin(stroma[:, 0] / 170) * np.cos(stroma[:, 1] / 210) > 0.45
    )
    paint_fibroblasts(maps, stroma[~is_lymphocyte], FIBRE_ANGLE)
    paint_lymphocytes(maps, stroma[is_lymphocyte])
    paint_lymphocytes(maps, stroma[is_lymphocyte] + rng.normal(0, 19, (int(is_lymphocyte.sum()), 2)))


def _paint_figures(maps: StainMaps, places: Points) -> list[Figure]:
    """Paint a figure at every place; the late telophase gives two."""
    labels = ["NMF metaphase", "NMF metaphase"]  # the special places
    rest = [label for label, number in NUMBERS.items() for _ in range(number)]
    for label in labels:
        rest.remove(label)
    figures: list[Figure] = []
    for (x, y), label in zip(places, [*labels, *rest, ""], strict=True):
        angle = float(maps.rng.uniform(0, np.pi))
        if label == "":
            halves = paint_telophase(maps, x, y, angle)
            figures += [Figure(*_half_pixels(half), TELOPHASE) for half in halves]
            continue
        if label == APOPTOTIC:
            paint_apoptosis(maps, x, y)
        else:
            paint_figure(maps, x, y, label, angle)
        figures.append(Figure(float(x), float(y), label))
    return figures


def _half_pixels(point: tuple[float, float]) -> tuple[float, float]:
    return round(point[0] * 2) / 2, round(point[1] * 2) / 2


# --- the files --------------------------------------------------------------------------------------------------------


def _detections(rng: np.random.Generator, figures: list[Figure]) -> list[Point]:
    """What a detector would say: every figure a little off centre, two of them twice, look-alikes with low scores."""
    points = [_detection(rng, figure, spread_px=1.5) for figure in figures]
    points += [_detection(rng, points[row].figure, spread_px=5.0) for row in (7, 21)]
    order = rng.permutation(len(points))
    return [points[index] for index in order]


def _detection(rng: np.random.Generator, figure: Figure, *, spread_px: float) -> Point:
    off_x, off_y = np.clip(rng.normal(0, spread_px, 2), -8, 8)
    x, y = _half_pixels((figure.x + off_x, figure.y + off_y))
    low, high = (0.35, 0.62) if figure.drawn_class == APOPTOTIC else (0.58, 0.99)
    return Point(min(x, SHAPE[1] - 0.5), min(y, SHAPE[0] - 0.5), round(float(rng.uniform(low, high)), 3), figure)


def _write_points(folder: Path, points: list[Point]) -> None:
    names = [f"mf-{number:03d}" for number in range(1, len(points) + 1)]
    detected = [(name, point.x, point.y, f"{point.score:.3f}") for name, point in zip(names, points, strict=True)]
    drawn = [
        (name, point.figure.x, point.figure.y, point.figure.drawn_class)
        for name, point in zip(names, points, strict=True)
    ]
    _write_csv(folder / "points.csv", ("id", "x", "y", "score"), detected)
    _write_csv(folder / "truth.csv", ("id", "x", "y", "drawn_class"), drawn)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_regions(path: Path) -> None:
    features = [
        _annotation("Tumor", (200, 0, 0), TUMOR.vertices(72, SHAPE)),
        _annotation("Necrosis", (50, 50, 50), NECROSIS.vertices(36, SHAPE)),
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, indent=1)
    path.write_bytes(text.encode() + b"\n")


def _annotation(name: str, color: tuple[int, int, int], vertices: Points) -> dict[str, Any]:
    ring = [[round(float(x), 1), round(float(y), 1)] for x, y in [*vertices, vertices[0]]]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, name)),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name, "color": list(color)}},
    }


def _write_slide(path: Path, image: NDArray[np.uint8]) -> None:
    """A tiled JPEG TIFF with its smaller levels as reduced-resolution pages, as OpenSlide's ``generic-tiff`` wants it."""
    with tifffile.TiffWriter(path) as writer:
        for level in range(LEVELS):
            pixels_per_cm = 1e4 / (MPP * 2**level)
            writer.write(
                image,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": JPEG_QUALITY},
                subfiletype=int(level > 0),
                resolution=(pixels_per_cm, pixels_per_cm),
                resolutionunit="CENTIMETER",
                metadata=None,
                software=False,
            )
            image = _halved(image)


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = image.shape
    blocks = image.reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return np.asarray((blocks.sum(axis=(1, 3)) + 2) // 4, dtype=np.uint8)


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
