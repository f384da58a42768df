"""A cohort of 40 small slides: several formats, several kinds of points, and damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from tests.coordinate_slide import write_plain_tiff, write_pyramid_tiff

SIDE = 640
N_SLIDES = 40
N_DAMAGED = 6
MIDOG_JSON = "regions.json"
WITH_FIELDS = (0, 4)

_APERIO = f"Aperio Image Library v12.0.0\n{SIDE}x{SIDE} [0,0 {SIDE}x{SIDE}] (256x256)|AppMag = 40|MPP = 0.2500"
_FORMATS: tuple[tuple[str, dict[str, Any]], ...] = (
    (".tiff", {"compression": "deflate"}),
    (".tiff", {"compression": "jpeg"}),
    (".tiff", {"compression": "lzw"}),
    (".svs", {"compression": "jpeg", "description": _APERIO}),
)


def write_cohort(folder: Path, n_slides: int = N_SLIDES) -> Path:
    """Write slides, points and ``manifest.csv`` into a folder.

    Every sixth slide is damaged, in one of six ways; every fifth of the others is a plain region whose points stand in one
    MIDOG JSON; one has no candidates and some have fewer than ten. Two have named fields: the left half, and all.

    Args:
        folder: Is made.
        n_slides: Rows of the manifest.

    Returns:
        The manifest: slide, points, slide_id, case_id (two slides a case), group, scanner, regions.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, regions = [], []
    for number in range(n_slides):
        name = f"slide-{number:03d}"
        pixels, places = _tissue(rng, 0 if number == 3 else int(rng.integers(4, 40)))
        if number % 6 == 5:
            slide = _write_damaged(folder, name, pixels, number // 6)
        elif number % 5 == 4:
            slide = write_plain_tiff(folder / f"{name}.tiff", pixels)
            regions.append((slide.name, places))
        else:
            suffix, options = _FORMATS[number % len(_FORMATS)]
            slide = write_pyramid_tiff(folder / f"{name}{suffix}", pixels, levels=2, **options)
        points = (
            folder / MIDOG_JSON if regions and regions[-1][0] == slide.name else _write_points(folder, name, places)
        )
        scanner = ("A", "B")[number % 2]
        case, group = f"case-{number // 2}", ("x", "y")[number % 4 // 2]
        fields = _write_fields(folder / f"{name}.geojson").name if number in WITH_FIELDS else None
        rows.append((slide.name, points.name, f"s{number:03d}", case, group, scanner, fields))
    _write_midog(folder / MIDOG_JSON, regions)
    manifest = folder / "manifest.csv"
    columns = ["slide", "points", "slide_id", "case_id", "group", "scanner", "regions"]
    pd.DataFrame(rows, columns=columns).to_csv(manifest, index=False)
    return manifest


def _tissue(rng: np.random.Generator, n: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Pink noise on a glass border with a dark disc at each of ``n`` places, (N, 2) x and y."""
    pixels = np.full((SIDE, SIDE, 3), 245, dtype=np.uint8)
    inner = np.array([205, 130, 180]) + rng.normal(0, 12, (SIDE - 80, SIDE - 80, 3))
    pixels[40:-40, 40:-40] = np.clip(inner, 0, 255)
    places = rng.uniform(60, SIDE - 60, (n, 2)).round(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    for place_x, place_y in places:
        pixels[(x - place_x) ** 2 + (y - place_y) ** 2 < 8**2] = (70, 40, 110)
    return pixels, places


def _write_points(folder: Path, name: str, places: NDArray[np.float64]) -> Path:
    path = folder / f"{name}.csv"
    table = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "score": np.linspace(0.99, 0.4, len(places)).round(3)})
    table.to_csv(path, index=False)
    return path


def _write_fields(path: Path) -> Path:
    features = [
        {"type": "Feature", "geometry": json.loads(shapely.to_geojson(shapely.box(*box))), "properties": {"name": name}}
        for name, box in (("left", (0, 0, SIDE / 2, SIDE)), ("all", (0, 0, SIDE, SIDE)))
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def _write_midog(path: Path, regions: list[tuple[str, NDArray[np.float64]]]) -> None:
    images = [
        {"id": number, "file_name": name, "width": SIDE, "height": SIDE} for number, (name, _) in enumerate(regions, 1)
    ]
    boxes = [(number, *place) for number, (_, places) in enumerate(regions, 1) for place in places]
    annotations = [
        {"id": k, "image_id": image, "category_id": 1, "bbox": [x - 25, y - 25, x + 25, y + 25]}
        for k, (image, x, y) in enumerate(boxes, 1)
    ]
    categories = [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "not mitotic figure"}]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))


def _write_damaged(folder: Path, name: str, pixels: NDArray[np.uint8], kind: int) -> Path:
    damage: tuple[Callable[[Path], object], ...] = (
        lambda path: path.write_bytes(write_pyramid_tiff(path, pixels).read_bytes()[:5000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no slide\n"),
        lambda path: write_pyramid_tiff(path, pixels, mpp=None),
        lambda path: write_pyramid_tiff(path, pixels, mpp=(0.25, 0.5)),
        lambda path: _overwrite_tiles(write_pyramid_tiff(path, pixels, compression="jpeg")),
    )
    path = folder / f"{name}.tiff"
    damage[kind % N_DAMAGED](path)
    return path


def _overwrite_tiles(path: Path) -> None:
    """Noise over the middle of the file, where its tiles are."""
    data = bytearray(path.read_bytes())
    start, stop = len(data) // 8, len(data) // 2
    data[start:stop] = np.random.default_rng(1).integers(0, 256, stop - start, dtype=np.uint8).tobytes()
    path.write_bytes(data)
