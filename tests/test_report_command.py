"""``report.html`` made with a screening and later: the same bytes, results that still verify, and what is missing said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.page_reader import check_page, read_page
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.cli.main import run
from wsiamf.cohort.verifying import verify


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    root = tmp_path_factory.mktemp("secret-inputs")
    for name in ("sample.tiff", "points.csv", "regions.geojson"):
        shutil.copy(sample_data / name, root / name)
    drawn = json.loads((root / "regions.geojson").read_text())
    (root / "fields.geojson").write_text(json.dumps(_named(drawn)))
    tiny_bundle(root / "tiny")
    return root


def _named(drawn: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, list[dict[str, dict[str, str]]]]:
    for number, feature in enumerate(drawn["features"]):
        feature["properties"]["name"] = f"field {number}"
    return drawn


def screened(inputs: Path, out: Path, **options: Any) -> Path:
    return screen_slide(
        inputs / "sample.tiff",
        inputs / "points.csv",
        roi=inputs / "regions.geojson",
        regions=inputs / "fields.geojson",
        out=out,
        model=inputs / "tiny",
        hotspot_mm2=0.1,
        **options,
    ).folder


@pytest.fixture(scope="module")
def result(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return screened(inputs, tmp_path_factory.mktemp("out"))


@pytest.fixture
def folder(result: Path, tmp_path: Path) -> Path:
    shutil.copytree(result, tmp_path / "sample")
    return tmp_path / "sample"


def problems(folder: Path) -> list[str]:
    return [fault.text for fault in verify(folder) if fault.level == "problem"]


def test_a_screening_writes_the_page(result: Path, inputs: Path) -> None:
    text = (result / "report.html").read_text("utf-8")
    page = check_page(text)
    assert len(page.all("img")) >= 45
    assert len([one for one in page.all("image") if one.attributes["href"].startswith("data:image/jpeg")]) == 1
    assert [one.text for one in page.all("th") if one.text.startswith("field ")]
    assert "secret-inputs" not in text
    assert "report.html" in json.loads((result / "run.json").read_text())["outputs"]
    assert problems(result) == []


def test_a_later_page_has_the_same_bytes_and_the_results_still_verify(
    folder: Path, result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.html").unlink()
    assert problems(folder) == ["report.html is missing"]
    assert run(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    for name in ("report.html", "run.json"):
        assert (folder / name).read_bytes() == (result / name).read_bytes(), name
    assert problems(folder) == []


def test_a_reference_is_drawn_on_the_page_and_entered_in_the_record(
    folder: Path, result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(folder), "--reference", "ratio=0.27:Somebody 2020"]) == 0
    assert "AMF fraction 0.213, which is an AMF / NMF ratio of 0.27" in capsys.readouterr().err
    text = (folder / "report.html").read_text("utf-8")
    assert text != (result / "report.html").read_text("utf-8")
    assert "manual counts, not validated for this model" in text
    assert problems(folder) == []
    assert run(["report", str(folder), "--reference", "0.27"]) == 1
    assert "names no source" in capsys.readouterr().err


def test_a_moved_slide_is_found_and_without_it_the_page_says_so(
    folder: Path, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((folder / "run.json").read_text())
    paths = record["host"]["paths"]
    for name in ("slide", "regions", "named_regions", "model"):
        paths[name] = str(tmp_path / "gone" / Path(paths[name]).name)
    (folder / "run.json").write_text(json.dumps(record))
    assert run(["report", str(folder)]) == 0
    assert "there are no pictures of it" in capsys.readouterr().err
    page = check_page((folder / "report.html").read_text("utf-8"))
    assert page.all("img") == []
    words = re.sub(r"\s+", " ", page.words)
    for missing in ("no pictures of it", "nothing of its card", "maps go without it", "maps go without them"):
        assert missing in words
    assert problems(folder) == []

    shutil.copy(inputs / "sample.tiff", tmp_path / "sample.tiff")
    assert run(["report", str(folder), "--slides", str(tmp_path)]) == 0
    assert "no pictures" not in capsys.readouterr().err
    assert len(read_page((folder / "report.html").read_text("utf-8")).all("img")) >= 45


def test_a_page_of_anothers_is_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.html").write_text("<p>mine</p>")
    assert run(["report", str(folder)]) == 1
    assert "was not written by wsiamf" in capsys.readouterr().err
    assert (folder / "report.html").read_text() == "<p>mine</p>"


def test_no_report_writes_none_and_a_folder_without_results_is_refused(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = screened(inputs, tmp_path / "out", report=False)
    assert not (folder / "report.html").exists()
    assert problems(folder) == []
    assert run(["report", str(tmp_path / "out")]) == 0  # the folder that --out named
    assert problems(folder) == []
    (tmp_path / "empty").mkdir()
    assert run(["report", str(tmp_path / "empty")]) == 1
    assert "neither a cohort nor a slide's results" in capsys.readouterr().err
