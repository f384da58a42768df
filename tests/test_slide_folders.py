"""Slides that are folders, from the command line to a cohort's manifest, and one result whatever the format."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.coordinate_slide import coordinate_coded, write_plain_tiff
from tests.made_dicom import JPEG_LS_LOSSLESS, UNCOMPRESSED, write_dicom_slide
from tests.made_ome import halves, write_ome_tiff, write_ome_zarr
from tests.made_vendor_slides import write_mrxs
from tests.tiny_model import tiny_bundle
from wsiamf.cli.main import run
from wsiamf.cohort.folder import list_folder
from wsiamf.cohort.manifest import read_manifest
from wsiamf.errors import ManifestError
from wsiamf.inference import Classifier
from wsiamf.screen import screen_slide
from wsiamf.slides import open_slide, read_fingerprint
from wsiamf.slides.finding import find_slide

PIXELS = coordinate_coded(384, 256)
POINTS = "x,y\n100,120\n200.5,90\n300,200\n2,250\n"


def write_png(path: Path) -> Path:
    Image.fromarray(PIXELS).save(path, dpi=(101_600, 101_600))
    return path


def dicom_folder(folder: Path, syntax: str = UNCOMPRESSED) -> Path:
    write_dicom_slide(folder, halves(PIXELS, 2), syntax=syntax)
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "plain.tif": lambda path: write_plain_tiff(path, PIXELS),
    "plain.png": write_png,
    "pyramid.ome.tiff": lambda path: write_ome_tiff(path, halves(PIXELS, 2)),
    "v04.ome.zarr": lambda path: write_ome_zarr(path, halves(PIXELS, 2)),
    "v05.zarr": lambda path: write_ome_zarr(path, halves(PIXELS, 2), version="0.5", axes="cyx", shard=128),
    "series": dicom_folder,
    "jpegls series": lambda path: dicom_folder(path, JPEG_LS_LOSSLESS),
    "tiles.mrxs": lambda path: write_mrxs(path, halves(PIXELS, 2)),
}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One picture in many formats, by the file's or folder's name."""
    folder = tmp_path_factory.mktemp("slides")
    return {name: write(folder / name) for name, write in WRITERS.items()}


def test_one_picture_gives_one_result_whatever_its_format(slides: dict[str, Path], tmp_path: Path) -> None:
    """A library each; that the others have the same pixels is the contract's to show."""
    (tmp_path / "points.csv").write_text(POINTS)
    tiny = Classifier(tiny_bundle(tmp_path / "tiny"), device="cpu")
    tables = {}
    for name in ("plain.tif", "plain.png", "v05.zarr", "series"):
        path = slides[name]
        slide_id = None if path.is_dir() else f"of {name}"  # two of the files have one stem
        result = screen_slide(
            path, tmp_path / "points.csv", out=tmp_path / "out", model=tiny, force=True, slide_id=slide_id
        )
        assert result.folder.name == (slide_id or path.name)
        tables[name] = pd.read_parquet(result.folder / "predictions.parquet")
    first = tables.pop("plain.tif")
    assert (first["status"] == "ok").all()
    for name, table in tables.items():
        assert np.array_equal(table["p_atypical"], first["p_atypical"]), name
        assert np.array_equal(table["crop_coverage"], first["crop_coverage"]), name


@pytest.mark.parametrize("name", ["v04.ome.zarr", "v05.zarr", "series", "tiles.mrxs"])
def test_what_desktops_leave_in_a_folder_is_not_the_slides(slides: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Nor does it count where the folder was put into a store."""
    for part in (slides[name], slides[name].with_suffix("")):
        if part.is_dir():
            shutil.copytree(part, tmp_path / part.name, dirs_exist_ok=True)
        elif part.is_file():
            shutil.copy(part, tmp_path / part.name)
    copy = tmp_path / name
    before = read_fingerprint(copy)
    folder = copy if copy.is_dir() else copy.with_suffix("")
    some = next(part for part in sorted(folder.rglob("*")) if part.is_file() and not part.name.startswith("."))
    for left, content in ((".DS_Store", b"1"), ("Thumbs.db", b"2"), ("desktop.ini", b"3"), (f"._{some.name}", b"4")):
        (folder / left).write_bytes(content)
    shutil.copy(some, folder / f".{some.name}")
    (folder / ".Trashes").mkdir()
    (folder / ".Trashes" / "a").write_bytes(b"5")
    assert read_fingerprint(copy) == before
    if name.endswith(".zarr"):
        fsspec.filesystem("memory").put(str(copy), f"/desktops/{name}", recursive=True)
        assert read_fingerprint(f"memory://desktops/{name}") == before
    if name == "v04.ome.zarr":
        (folder / ".zattrs").write_text((folder / ".zattrs").read_text() + " ")
        assert read_fingerprint(copy) != before


def test_fingerprints_without_opening_are_those_of_open_slides(slides: dict[str, Path]) -> None:
    for path in slides.values():
        with open_slide(path) as slide:
            assert read_fingerprint(path) == slide.fingerprint


@pytest.mark.parametrize("name", ["v05.zarr", "series"])
def test_a_folder_that_was_moved_is_found(slides: dict[str, Path], tmp_path: Path, name: str) -> None:
    shutil.copytree(slides[name], tmp_path / "below" / name)
    found = find_slide(name, read_fingerprint(slides[name]), tmp_path / "gone" / name, [tmp_path])
    assert found == tmp_path / "below" / name


def test_info_takes_folders(slides: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for name, backend in (("v04.ome.zarr", "zarr"), ("series", "openslide"), ("jpegls series", "wsidicom")):
        assert run(["info", str(slides[name]), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["name"], facts["backend"], facts["mpp"]) == (name, backend, pytest.approx(0.25))


def test_a_manifest_takes_folders(slides: dict[str, Path], tmp_path: Path) -> None:
    folder = slides["series"].parent
    (folder / "p.csv").write_text(POINTS)
    rows = ["slide,points", "v04.ome.zarr,p.csv", "series,p.csv", "tiles.mrxs,p.csv"]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    items = read_manifest(folder / "manifest.csv")
    assert [item.slide_id for item in items] == ["v04.ome.zarr", "series", "tiles"]
    (folder / "manifest.csv").write_text("\n".join([*rows, "series/level_1.dcm,p.csv", "tiles,p.csv"]) + "\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(folder / "manifest.csv")
    said = str(caught.value)
    assert "slide level_1.dcm is that of row 2 too" in said
    assert "tiles: is a folder; name the .mrxs file beside it, an OME-Zarr folder" in said


def test_a_folder_of_slides_holds_stores_too(slides: dict[str, Path], tmp_path: Path) -> None:
    given = tmp_path / "slides"
    for name in ("v04.ome.zarr", "v05.zarr", "series"):
        shutil.copytree(slides[name], given / name)
    shutil.copytree(slides["v05.zarr"] / "0", given / "an array.zarr")
    (tmp_path / "points").mkdir()
    for name in ("v04.csv", "v05.zarr.csv", "series.csv"):
        (tmp_path / "points" / name).write_text(POINTS)
    items = list_folder(given, tmp_path / "points")
    named = [(item.slide_id, item.points.name if item.points else None) for item in items]
    assert named == [("series", "series.csv"), ("v04.ome.zarr", "v04.csv"), ("v05.zarr", "v05.zarr.csv")]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.dcm")
    (tmp_path / "p.csv").write_text(POINTS)
    with pytest.raises(ManifestError, match=r"x\.dcm: is not a plain file"):
        list_folder(tmp_path, tmp_path / "p.csv")
