"""The sample slide: that it is what its README says, and that its program makes it again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import shapely
from numpy.typing import NDArray

from wsiamf.classes import NON_MITOTIC, PHASES
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.regions import Region, read_regions

FRAME = SlideFrame(width=3072, height=2560, mpp=0.25, bounds=Bounds(0, 0, 3072, 2560))
MERGE_UM = 7.5


@pytest.fixture(scope="module")
def slide(sample_data: Path) -> Iterator[openslide.OpenSlide]:
    with openslide.OpenSlide(sample_data / "sample.tiff") as opened:
        yield opened


@pytest.fixture(scope="module")
def points(sample_data: Path) -> pd.DataFrame:
    return pd.read_csv(sample_data / "points.csv")


@pytest.fixture(scope="module")
def truth(sample_data: Path) -> pd.DataFrame:
    return pd.read_csv(sample_data / "truth.csv")


@pytest.fixture(scope="module")
def region(sample_data: Path) -> Region:
    return read_regions(sample_data / "regions.geojson", FRAME)


def pixels(path: Path, level: int = 0) -> NDArray[np.uint8]:
    with openslide.OpenSlide(path) as opened:
        return np.asarray(opened.read_region((0, 0), level, opened.level_dimensions[level]).convert("RGB"))


def test_openslide_reads_a_pyramid_of_known_size_and_resolution(slide: openslide.OpenSlide) -> None:
    assert slide.properties["openslide.vendor"] == "generic-tiff"
    assert slide.level_dimensions == ((3072, 2560), (1536, 1280), (768, 640), (384, 320))
    assert slide.level_downsamples == (1.0, 2.0, 4.0, 8.0)
    assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
    assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.25)
    assert slide.properties["openslide.level[3].tile-width"] == "256"


def test_levels_show_the_same_picture(sample_data: Path) -> None:
    fine, coarse = pixels(sample_data / "sample.tiff"), pixels(sample_data / "sample.tiff", 2)
    means_fine = fine.reshape(80, 32, 96, 32, 3).mean(axis=(1, 3))
    means_coarse = coarse.reshape(80, 8, 96, 8, 3).mean(axis=(1, 3))
    assert np.abs(means_fine - means_coarse).mean() < 1


def test_slide_is_small_enough_to_ship(sample_data: Path) -> None:
    assert (sample_data / "sample.tiff").stat().st_size <= 4 * 2**20


def test_points_look_like_a_detectors(points: pd.DataFrame, truth: pd.DataFrame) -> None:
    assert list(points.columns) == ["id", "x", "y", "score"]
    assert list(truth.columns) == ["id", "x", "y", "drawn_class"]
    assert points["id"].tolist() == truth["id"].tolist() == [f"mf-{n:03d}" for n in range(1, len(points) + 1)]
    assert points["x"].between(0, 3072).all()
    assert points["y"].between(0, 2560).all()
    assert points["score"].between(0.35, 0.99).all()
    assert 0.05 < (points["score"] < 0.5).mean() < 0.2
    assert (np.hypot(points["x"] - truth["x"], points["y"] - truth["y"]) < 12).all()


def test_every_class_is_drawn(truth: pd.DataFrame) -> None:
    figures = truth.drop_duplicates(["x", "y"])["drawn_class"]
    assert set(figures) == {*PHASES, NON_MITOTIC}
    assert 50 <= (figures != NON_MITOTIC).sum() <= 60
    assert 0.2 < figures.str.startswith("AMF").sum() / (figures != NON_MITOTIC).sum() < 0.45


def test_duplicates_and_telophase_halves(points: pd.DataFrame, truth: pd.DataFrame) -> None:
    detected, drawn = points[["x", "y"]].to_numpy(), truth[["x", "y"]].to_numpy()
    distance_um = np.hypot(*(detected[:, None] - detected[None]).transpose(2, 0, 1)) * 0.25
    near = [(i, j) for i, j in np.argwhere(distance_um <= 15) if i < j]
    twice = [(i, j) for i, j in near if distance_um[i, j] < MERGE_UM]
    assert len(twice) == 2
    assert all((drawn[i] == drawn[j]).all() for i, j in twice)
    halves = [pair for pair in near if pair not in twice]
    assert len(halves) == 1
    assert truth.loc[list(halves[0]), "drawn_class"].tolist() == ["NMF anaphase-telophase"] * 2


def test_one_figure_hangs_over_the_edge(points: pd.DataFrame) -> None:
    gap = np.minimum.reduce([points["x"], points["y"], 3072 - points["x"], 2560 - points["y"]])
    assert (gap < 16).sum() == 1


def test_regions(sample_data: Path, region: Region, points: pd.DataFrame) -> None:
    assert region.notes == ()
    assert 0.25 <= region.area_mm2(0.25) <= 0.35
    features = json.loads((sample_data / "regions.geojson").read_text())["features"]
    tumor, necrosis = (shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features)
    assert tumor.contains(necrosis)
    assert region.geometry.area == pytest.approx(tumor.area - necrosis.area)
    assert (~region.contains(points["x"], points["y"])).sum() == 1


def test_figures_are_darker_than_what_surrounds_them(sample_data: Path, truth: pd.DataFrame) -> None:
    very_dark = pixels(sample_data / "sample.tiff")[..., 0] < 60  # chromatin; nuclei at rest let more red through
    for x, y in truth[["x", "y"]].astype(int).to_numpy():
        center = very_dark[y - 24 : y + 24, x - 24 : x + 24].mean()
        around = very_dark[max(0, y - 64) : y + 64, max(0, x - 64) : x + 64].mean()
        assert center > max(0.03, 2 * around), f"nothing dark at ({x}, {y})"


def test_program_makes_the_same_files_again(sample_data: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-B", "-W", "error", str(sample_data / "make_sample.py"), str(tmp_path)]
    subprocess.run(program, check=True, capture_output=True, text=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "points.csv",
        "regions.geojson",
        "sample.tiff",
        "truth.csv",
    ]
    for name in ("points.csv", "truth.csv", "regions.geojson"):
        assert (tmp_path / name).read_bytes() == (sample_data / name).read_bytes(), name
    made, kept = (pixels(folder / "sample.tiff").astype(int) for folder in (tmp_path, sample_data))
    assert np.abs(made - kept).mean() < 0.5
    assert np.percentile(np.abs(made - kept), 99.9) <= 6
