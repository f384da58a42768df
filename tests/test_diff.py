"""Two runs side by side: which figures changed class, and what is said to have done it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.sample_cohort import OPTIONS, copy_result, fail, made_item, write_made_plan
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.cli.main import run
from wsiamf.cohort.comparing import COLUMNS, FigureChange, SlideChange, compare
from wsiamf.cohort.matching import pair_figures
from wsiamf.cohort.places import Places
from wsiamf.errors import CohortError
from wsiamf.inference import Classifier
from wsiamf.spec import Thresholds


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(tiny_bundle(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory, sample_data: Path, tiny: Classifier) -> Path:
    """Every figure is NMF: the tiny model says 0.54 of all, and the threshold is 0.6."""
    return screen(tmp_path_factory.mktemp("out"), sample_data, tiny)


def screen(out: Path, sample_data: Path, model: Any, points: Path | None = None, **options: Any) -> Path:
    chosen = {"hotspot_mm2": 0.1} | options
    points = points or sample_data / "points.csv"
    return screen_slide(sample_data / "sample.tiff", points, out=out, model=model, **chosen).folder


def one(before: Path, after: Path) -> SlideChange:
    (slide,) = compare(before, after)
    return slide


def changes(slide: SlideChange) -> dict[str, FigureChange]:
    return {figure.candidate_id: figure for figure in slide.figures}


def test_a_run_is_equal_to_itself(screened: Path) -> None:
    slide = one(screened, screened)
    assert not slide.differs
    assert (slide.figures, slide.largest_shift) == ((), 0.0)
    assert slide.counts_before == slide.counts_after
    assert slide.counts_before is not None
    assert slide.counts_before["n_candidates"] == 62


def test_what_a_killed_run_left_half_written_is_no_slide(screened: Path, tmp_path: Path) -> None:
    for name in ("case", ".wsiamf-case-abcdefgh"):
        shutil.copytree(screened, tmp_path / name)
    assert one(tmp_path, tmp_path).slide_id == "case"


def test_a_threshold_names_itself(screened: Path, sample_data: Path, tiny: Classifier, tmp_path: Path) -> None:
    table = pd.read_parquet(screened / "predictions.parquet")
    cut_off = float(table["p_atypical"].median())
    slide = one(screened, screen(tmp_path, sample_data, tiny, threshold=cut_off, hotspot_mm2=0.2))
    due = set(table.loc[table["p_atypical"] >= cut_off, "candidate_id"])
    assert {name for name, figure in changes(slide).items() if figure.after == "AMF"} == due
    assert {figure.before for figure in slide.figures} == {"NMF"}
    assert {figure.why for figure in slide.figures} == {f"options.threshold count -> {cut_off}"}
    assert slide.why == (f"options.threshold count -> {cut_off}", "options.hotspot_mm2 0.1 -> 0.2")
    assert slide.counts_after is not None
    assert slide.counts_after["n_amf"] == len(due)
    assert slide.differs


def test_another_model_names_itself(screened: Path, sample_data: Path, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", thresholds=Thresholds(balanced=0.5, count=0.1), mean=(0.4, 0.5, 0.5))
    slide = one(screened, screen(tmp_path, sample_data, other.folder))
    assert slide.largest_shift is not None
    assert slide.largest_shift > 0
    assert {(figure.before, figure.after, figure.why) for figure in slide.figures} == {("NMF", "AMF", "model")}


def test_other_points_by_uuid_and_by_position(
    screened: Path, sample_data: Path, tiny: Classifier, tmp_path: Path
) -> None:
    rows = pd.read_csv(sample_data / "points.csv")
    shifts = {"mf-002": 4.0, "mf-003": 40.0}  # 1 um: the same figure under another uuid; 10 um: another figure
    rows["x"] = rows["x"] + rows["id"].map(shifts).fillna(0.0)
    rows = rows.drop(index=0)
    rows["score"] = rows["score"].where(rows["id"] != "mf-004", 0.1)
    rows.to_csv(tmp_path / "points.csv", index=False)
    slide = one(screened, screen(tmp_path / "out", sample_data, tiny, tmp_path / "points.csv", min_score=0.3))
    found = [(figure.candidate_id, figure.before, figure.after, figure.matched_by) for figure in slide.figures]
    assert sorted(found) == [
        ("mf-001", "NMF", "absent", "none"),
        ("mf-003", "NMF", "absent", "none"),
        ("mf-003", "absent", "NMF", "none"),
        ("mf-004", "NMF", "below_min_score", "uuid"),
    ]
    assert {figure.why for figure in slide.figures} == {"points; options.min_score none -> 0.3"}


def test_pairs_are_nearest_first_and_unique() -> None:
    def table(x_um: list[float], names: str) -> pd.DataFrame:
        return pd.DataFrame({"uuid": list(names), "x_um": x_um, "y_um": np.zeros(len(x_um))})

    before, after = table([0.0, 1.5, 10.0, np.nan], "abcd"), table([1.4, 3.0, 12.5, np.nan], "efgd")
    found = [(pair.before, pair.after, pair.matched_by) for pair in pair_figures(before, after)]
    assert found == [
        (3, 3, "uuid"),
        (1, 0, "position"),
        (0, None, "none"),
        (2, None, "none"),
        (None, 1, "none"),
        (None, 2, "none"),
    ]
    assert pair_figures(before.iloc[:0], after.iloc[:0]) == []


def edit_record(folder: Path, **changes: Any) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in record.items() if value is not None}))


def test_records_without_a_key_are_compared_by_what_they_hold(screened: Path, tmp_path: Path) -> None:
    old = copy_result(screened, tmp_path / "old")
    edit_record(old, key=None)
    assert one(old, screened).why == ("nothing that the records name",)
    record = json.loads((old / "run.json").read_text())
    edit_record(old, points=record["points"] | {"sha256": "0"}, backend="torch")
    assert one(old, screened).why == ("points", "backend torch -> openvino")
    same = copy_result(screened, tmp_path / "same")
    edit_record(same, versions=record["versions"] | {"openvino": "2020.1"})
    assert one(same, screened).why == (f"openvino 2020.1 -> {record['versions']['openvino']}",)


def test_named_regions(screened: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [copy_result(screened, tmp_path / name / "sample") for name in ("before", "after")]
    for folder, regions in zip(folders, ({"A": (7, 2), "B": (3, 0)}, {"B": (3, 1), "C": (0, 0)}), strict=True):
        summary = json.loads((folder / "summary.json").read_text())
        summary["regions"] = [{"name": name, "n": n, "n_amf": n_amf} for name, (n, n_amf) in regions.items()]
        (folder / "summary.json").write_text(json.dumps(summary))
    assert not one(folders[0], folders[0]).differs
    assert one(*folders).differs
    assert run(["diff", *map(str, folders), "--exit-code"]) == 1
    said = capsys.readouterr().err
    assert "region 'A': 7 figures, 2 AMF -> not given; region 'B': 3 figures, 0 AMF -> 3 figures, 1 AMF" in said
    assert "region 'C': not given -> 0 figures, 0 AMF" in said


@pytest.fixture
def cohorts(tmp_path: Path, screened: Path, sample_data: Path, tiny: Classifier) -> tuple[Places, Places]:
    """a is equal, b changes by its threshold, c failed and is done, d is in the second alone, e has no candidates."""
    items = [made_item(sample_data, k + 1, name, points=name != "e") for k, name in enumerate("abcde")]
    first = write_made_plan(tmp_path / "first", [item for item in items if item.slide_id != "d"])
    second = write_made_plan(tmp_path / "second", items, options=OPTIONS | {"threshold": 0.1})
    for places in (first, second):
        copy_result(screened, places.folder("a"))
    copy_result(screened, first.folder("b"))
    shutil.copytree(screen(tmp_path / "other", sample_data, tiny, threshold=0.1), second.folder("b"))
    copy_result(screened, second.folder("c"))
    fail(first, "c", "c.tiff: is damaged")
    return first, second


def test_cohorts(cohorts: tuple[Places, Places]) -> None:
    slides = {slide.slide_id: slide for slide in compare(cohorts[0].out, cohorts[1].out)}
    assert list(slides) == ["a", "b", "c", "e", "d"]
    statuses = {name: (slide.status_before, slide.status_after) for name, slide in slides.items()}
    assert statuses == {
        "a": ("done", "done"),
        "b": ("done", "done"),
        "c": ("failed", "done"),
        "d": ("not_listed", "not_screened"),
        "e": ("no_candidates", "no_candidates"),
    }
    assert [name for name, slide in slides.items() if slide.differs] == ["b", "c", "d"]
    assert len(slides["b"].figures) == 60
    assert slides["c"].counts_before is None


def test_a_slide_that_failed_is_not_compared_by_an_earlier_result(cohorts: tuple[Places, Places]) -> None:
    fail(cohorts[1], "a", "a.csv: is damaged")
    slide = next(iter(compare(cohorts[0].out, cohorts[1].out)))
    assert (slide.slide_id, slide.status_before, slide.status_after) == ("a", "done", "failed")
    assert (slide.counts_after, slide.figures) == (None, ())
    assert slide.differs
    assert not one(cohorts[0].folder("a"), cohorts[1].folder("a")).differs  # the folders themselves, as named


def test_command(cohorts: tuple[Places, Places], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["diff", str(cohorts[0].out), str(cohorts[1].out)]
    assert run([*arguments, "--csv"]) == 0
    shown = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert len(rows) == 60
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["why"] == "options.threshold count -> 0.1"
    assert "b: figures 60 -> 60, AMF 0 -> 60, NMF 60 -> 0; why: options.threshold count -> 0.1" in shown.err
    assert "c: status failed -> done" in shown.err
    assert "5 slides compared, 3 differ; figures changed: NMF -> AMF 60" in shown.err
    assert run([*arguments, "--exit-code"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 61
    assert run([*arguments, "--json"]) == 0
    slides = json.loads(capsys.readouterr().out)["slides"]
    assert [len(slide["figures"]) for slide in slides] == [0, 60, 0, 0, 0]
    assert run(["diff", arguments[1], arguments[1], "--exit-code"]) == 0
    assert run([*arguments, "--csv", "--json"]) == 2


def test_what_cannot_be_compared(
    cohorts: tuple[Places, Places], screened: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CohortError, match="neither a cohort nor"):
        list(compare(tmp_path / "gone", screened))
    with pytest.raises(CohortError, match="two of a kind"):
        list(compare(cohorts[0].out, screened))
    (cohorts[0].folder("a") / "predictions.parquet").write_text("x")
    assert run(["diff", str(cohorts[0].out), str(cohorts[1].out)]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
