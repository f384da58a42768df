"""Every export holds the figures that count, where they are, whatever the slide's frame; other programs read it back."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import geojson
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.made_dicom import write_dicom_slide
from tests.made_predictions import FRAME, MODEL, made_table
from tests.made_result_folder import table_at, write_results
from wsiamf.candidates import read_candidates
from wsiamf.classes import CLASS_COLORS
from wsiamf.cli.export import FORMATS as CLI_FORMATS
from wsiamf.cli.main import run
from wsiamf.errors import ConfigError, ExportError, OutputExistsError
from wsiamf.export.exporting import export_results
from wsiamf.export.format_list import FORMATS
from wsiamf.export.formats.qupath_points import packed_color
from wsiamf.export.formats.qupath_project import groovy_text
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.slides import open_slide

Found = list[tuple[float, float, str]]
"""x, y in level-0 px and class of each point, in the order of the file."""


@dataclass
class NamedSlide:
    """What a points reader asks of a slide."""

    name: str
    frame: SlideFrame


def from_reader(path: Path, frame: SlideFrame) -> Found:
    table = read_candidates(path, NamedSlide("case 1.svs", frame), merge_um=0).table
    return list(zip(table["x"], table["y"], table["source_label"], strict=True))


def from_qupath_points(path: Path, frame: SlideFrame) -> Found:
    table = pd.read_csv(path, sep="\t")
    assert table.columns.tolist() == ["x", "y", "class", "name", "color"]
    for name, color in zip(table["class"], table["color"], strict=True):
        assert color & 0xFFFFFF == int("{:02x}{:02x}{:02x}".format(*CLASS_COLORS[name]), 16)
    x, y = frame.level0_from_qupath(table["x"], table["y"])
    return list(zip(x.tolist(), y.tolist(), table["class"], strict=True))


def from_sliderunner(path: Path, _frame: SlideFrame) -> Found:
    query = """SELECT coordinateX, coordinateY, Classes.name FROM Annotations
        JOIN Annotations_coordinates ON Annotations_coordinates.annoId = Annotations.uid
        JOIN Annotations_label ON Annotations_label.annoId = Annotations.uid
        JOIN Classes ON Classes.uid = Annotations_label.class
        WHERE type = 1 AND deleted = 0 AND agreedClass = Classes.uid ORDER BY Annotations.uid"""
    with closing(sqlite3.connect(path)) as database:
        return list(database.execute(query))


def from_grand_challenge(path: Path, frame: SlideFrame) -> Found:
    content = json.loads(path.read_text())
    assert content["type"] == "Multiple points"
    assert content["version"] == {"major": 1, "minor": 0}
    mpp_x, mpp_y = frame.stated_mpp_xy or (frame.mpp, frame.mpp)
    places = [point["point"] for point in content["points"]]
    px = [(1000 * x / mpp_x, 1000 * y / mpp_y) for x, y, _ in places]
    return [(x, y, point["name"]) for (x, y), point in zip(px, content["points"], strict=True)]


def from_tiatoolbox(path: Path, _frame: SlideFrame) -> Found:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT cx, cy, properties FROM annotations WHERE geometry IS NULL ORDER BY id"
        ).fetchall()
        assert database.execute("SELECT count(*) FROM rtree").fetchone() == (len(rows),)
    return [(x, y, json.loads(properties)["type"]) for x, y, properties in rows]


def from_asap(path: Path, _frame: SlideFrame) -> Found:
    root = ET.parse(path).getroot()  # noqa: S314 - our own file
    groups = {group.get("Name") for group in root.iter("Group")}
    found = []
    for dot in root.iter("Annotation"):
        assert dot.get("Type") == "Dot"
        assert dot.get("PartOfGroup") in groups
        place = dot.find("Coordinates/Coordinate")
        assert place is not None
        found.append((float(place.get("X", "")), float(place.get("Y", "")), dot.get("PartOfGroup", "")))
    return found


def from_midog_json(path: Path, _frame: SlideFrame) -> Found:
    content = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    boxes = [(one["bbox"], names[one["category_id"]]) for one in content["annotations"]]
    return [((left + right) / 2, (top + bottom) / 2, name) for (left, top, right, bottom), name in boxes]


def from_midog25_csv(path: Path, _frame: SlideFrame) -> Found:
    table = pd.read_csv(path)
    assert table["filename"].eq("case 1.svs").all()
    return list(zip(table["coordinateX"], table["coordinateY"], table["majority"], strict=True))


# Once by code of its own here, which knows the format's layout, and once by the reader that screening uses.
READ: dict[str, tuple[Callable[[Path, SlideFrame], Found], ...]] = {
    "qupath-points": (from_qupath_points, from_reader),
    "sliderunner": (from_sliderunner, from_reader),
    "grand-challenge": (from_grand_challenge, from_reader),
    "midog-json": (from_midog_json, from_reader),
    "midog25-csv": (from_midog25_csv, from_reader),
    "tiatoolbox": (from_tiatoolbox, from_reader),
    "asap": (from_asap, from_reader),
}
POINT_FORMATS = sorted(READ)
TOLERANCE_PX = {"sliderunner": 0.5}
OTHERS_PX = 0.005001  # two decimals


def check_round_trip(folder: Path, to: str, table: pd.DataFrame, frame: SlideFrame) -> None:
    (path,) = export_results(folder, to, target=folder.parent / "exported")
    counted = table[table["status"] == "ok"]
    for read in READ[to]:
        found = read(path, frame)
        assert [name for _, _, name in found] == counted["label"].tolist()
        places = np.array([(x, y) for x, y, _ in found]).reshape(-1, 2)
        off = np.abs(places - counted[["x", "y"]].to_numpy(dtype=float)).max(initial=0)
        assert off <= TOLERANCE_PX.get(to, OTHERS_PX)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "out" / "case 1", made_table(12))


class TestRoundTrip:
    @pytest.mark.parametrize("to", POINT_FORMATS)
    def test_made_table(self, results: Path, to: str) -> None:
        check_round_trip(results, to, made_table(12), FRAME)

    @pytest.mark.parametrize("to", POINT_FORMATS)
    def test_no_figures(self, tmp_path: Path, to: str) -> None:
        table = made_table(4).assign(status="bad_point")
        folder = write_results(tmp_path / "none", table)
        (path,) = export_results(folder, to, target=tmp_path)
        if to not in ("midog-json", "midog25-csv"):  # those readers ask for at least one row of the slide
            assert [read(path, FRAME) for read in READ[to]] == [[] for _ in READ[to]]

    @pytest.mark.parametrize("to", POINT_FORMATS)
    @settings(max_examples=20, deadline=None)
    @given(
        shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12),
        mpp=st.floats(0.1, 1.1),
        size=st.tuples(st.integers(200, 120_000), st.integers(200, 120_000)),
        corner=st.tuples(st.integers(0, 99), st.integers(0, 99)),
        stated=st.none() | st.tuples(st.floats(0.1, 1.1), st.floats(0.1, 1.1)),
    )
    def test_random_candidates(
        self,
        to: str,
        shares: list[tuple[float, float]],
        mpp: float,
        size: tuple[int, int],
        corner: tuple[int, int],
        stated: tuple[float, float] | None,
    ) -> None:
        bounds = Bounds(*corner, size[0] - corner[0], size[1] - corner[1])
        frame = SlideFrame(*size, mpp, bounds, stated)
        xy: NDArray[np.float64] = np.array(shares) * (np.array(size) - 0.01)
        table = table_at(xy[:, 0], xy[:, 1], frame)
        with TemporaryDirectory() as scratch:
            folder = write_results(Path(scratch) / "slide", table, frame)
            check_round_trip(folder, to, table, frame)


class TestContent:
    def test_every_format_is_tested(self) -> None:
        assert set(FORMATS) == {*READ, "qupath-project", "dicom-ann"}
        assert tuple(FORMATS) == CLI_FORMATS

    @pytest.mark.parametrize("to", [*POINT_FORMATS, "qupath-project"])
    def test_equal_results_are_equal_bytes(self, results: Path, tmp_path: Path, to: str) -> None:
        first = export_results(results, to, target=tmp_path / "a")[0].read_bytes()
        assert export_results(results, to, target=tmp_path / "b")[0].read_bytes() == first

    @pytest.mark.parametrize("to", POINT_FORMATS)
    def test_names_nothing_of_the_machine(self, results: Path, tmp_path: Path, to: str) -> None:
        content = export_results(results, to, target=tmp_path)[0].read_bytes()
        assert str(tmp_path).encode() not in content
        assert str(Path.cwd()).encode() not in content

    @pytest.mark.parametrize("to", ["qupath-points", "sliderunner", "grand-challenge", "asap", "tiatoolbox"])
    def test_all_says_why_a_row_does_not_count(self, results: Path, tmp_path: Path, to: str) -> None:
        (path,) = export_results(results, to, target=tmp_path, every_row=True)
        text = path.read_bytes().decode("utf-8", errors="ignore")
        assert "duplicate" in text
        if to != "sliderunner":  # its list of classes is whole
            assert "bad point" not in text  # it has no position

    def test_no_label_of_a_rater_is_made_up(self, results: Path, tmp_path: Path) -> None:
        content = json.loads(export_results(results, "midog-json", target=tmp_path)[0].read_text())
        assert all("labels" not in annotation for annotation in content["annotations"])
        assert {category["id"]: category["name"] for category in content["categories"]} == {
            1: "mitotic figure",
            2: "not mitotic figure",
            3: "AMF",
            4: "NMF",
        }
        with export_results(results, "midog25-csv", target=tmp_path)[0].open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert {row[f"expert{n}"] for row in rows for n in (1, 2, 3)} == {""}
        assert {row["majority"] for row in rows} <= {"AMF", "NMF"}

    def test_scores(self, results: Path, tmp_path: Path) -> None:
        table = made_table(12)
        counted = table[table["status"] == "ok"]
        points = json.loads(export_results(results, "grand-challenge", target=tmp_path)[0].read_text())["points"]
        assert [point["probability"] for point in points] == counted["score"].tolist()
        with closing(sqlite3.connect(export_results(results, "tiatoolbox", target=tmp_path)[0])) as store:
            values = [json.loads(text) for (text,) in store.execute("SELECT properties FROM annotations ORDER BY id")]
        assert [value["p_atypical"] for value in values] == counted["p_atypical"].tolist()

    def test_no_score_is_no_probability(self, tmp_path: Path) -> None:
        folder = write_results(tmp_path / "slide", made_table(5).assign(score=None))
        points = json.loads(export_results(folder, "grand-challenge", target=tmp_path)[0].read_text())["points"]
        assert all("probability" not in point for point in points)

    def test_ids_that_xml_cannot_hold(self, tmp_path: Path) -> None:
        table = made_table(5)
        table.loc[0, "candidate_id"] = 'a"<&>\x07é'
        folder = write_results(tmp_path / "slide", table)
        root = ET.parse(export_results(folder, "asap", target=tmp_path)[0]).getroot()  # noqa: S314 - our own file
        assert next(root.iter("Annotation")).get("Name") == 'a"<&>?é'

    def test_packed_color(self) -> None:
        assert packed_color((255, 0, 0)) == -65536  # as QuPath writes red


class TestQuPathScript:
    def test_names_slide_and_both_files(self, results: Path, tmp_path: Path) -> None:
        (path,) = export_results(results, "qupath-project", target=tmp_path)
        script = path.read_text("ascii")
        assert groovy_text(str(Path("slides/case 1.svs").absolute())) in script
        assert groovy_text(str(results.absolute())) in script
        assert "['detections.geojson', 'review.geojson']" in script
        assert "@" not in script
        assert all(script.count(left) == script.count(right) for left, right in ("()", "{}", "[]"))

    def test_a_moved_slide(self, results: Path, tmp_path: Path) -> None:
        (path,) = export_results(results, "qupath-project", target=tmp_path, slide=tmp_path / "it's.svs")
        assert "it\\'s.svs" in path.read_text("ascii")

    def test_text(self) -> None:
        assert groovy_text("C:\\slides\\a'b $x é😀\n") == "'C:\\\\slides\\\\a\\'b $x \\u00e9\\ud83d\\ude00\\u000a'"

    def test_missing_objects(self, results: Path, tmp_path: Path) -> None:
        (results / "review.geojson").unlink()
        with pytest.raises(ExportError, match=r"review.geojson: not there; screen the slide again"):
            export_results(results, "qupath-project", target=tmp_path / "exported")
        assert list((tmp_path / "exported").iterdir()) == []


class TestFiles:
    def test_a_cohort_is_a_file_a_slide(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            write_results(tmp_path / "cohort" / name, made_table(6), slide=Path(f"{name}.svs"))
        (tmp_path / "cohort" / "review").mkdir()
        written = export_results(tmp_path / "cohort", "asap", target=tmp_path / "xml")
        assert [path.name for path in written] == ["a.xml", "b.xml"]

    @pytest.mark.parametrize("to", ["midog-json", "midog25-csv", "sliderunner", "qupath-project"])
    def test_formats_that_hold_a_cohort(self, tmp_path: Path, to: str) -> None:
        for name in ("b", "a"):
            write_results(tmp_path / "cohort" / name, made_table(6), slide=Path(f"{name}.svs"))
        (path,) = export_results(tmp_path / "cohort", to, target=tmp_path)
        assert path.name == f"cohort{FORMATS[to].suffix}"
        content = path.read_bytes()
        assert b"a.svs" in content
        assert b"b.svs" in content

    @pytest.mark.parametrize("to", ["midog-json", "midog25-csv"])
    def test_each_slide_finds_its_own_rows(self, tmp_path: Path, to: str) -> None:
        places = {"a": 1500.0, "b": 4500.0}
        for name, x in places.items():
            table = table_at(np.array([x, x + 90]), np.array([3000.0, 3000.0]))
            write_results(tmp_path / "cohort" / name, table, slide=Path(f"{name}.svs"))
        (path,) = export_results(tmp_path / "cohort", to, target=tmp_path)
        for name, x in places.items():
            found = read_candidates(path, NamedSlide(f"{name}.svs", FRAME), merge_um=0).table
            assert found["x"].tolist() == [x, x + 90]

    @pytest.mark.parametrize("to", ["midog-json", "midog25-csv", "sliderunner"])
    def test_two_slides_of_one_name_are_not_mixed(self, tmp_path: Path, to: str) -> None:
        for name, x in (("a", 1500.0), ("b", 4500.0)):
            table = table_at(np.array([x]), np.array([3000.0]))
            write_results(tmp_path / "cohort" / name, table, slide=Path(f"{name}/scan.svs"))
        with pytest.raises(
            ExportError, match=r"b: its slide is called scan\.svs, as that of a is.*each of the two folders"
        ):
            export_results(tmp_path / "cohort", to, target=tmp_path / "out")
        assert not (tmp_path / "out").exists()
        (path,) = export_results(tmp_path / "cohort" / "b", to, target=tmp_path / "out")
        assert read_candidates(path, NamedSlide("scan.svs", FRAME)).table["x"].tolist() == [4500]
        export_results(
            tmp_path / "cohort", "qupath-project", target=tmp_path / "out"
        )  # which names them by their paths

    @pytest.mark.parametrize("to", ["midog-json", "midog25-csv"])
    def test_the_models_labels_come_back_as_a_programs(self, tmp_path: Path, to: str) -> None:
        table = table_at(np.array([1500.0, 1510.0]), np.array([3000.0, 3000.0])).assign(score=None)
        (path,) = export_results(write_results(tmp_path / "slide", table), to, target=tmp_path)
        found = read_candidates(path, NamedSlide("case 1.svs", FRAME))
        assert set(found.table["source_label"]) <= {"AMF", "NMF"}
        assert not found.table["by_person"].any()
        assert found.votes == dict.fromkeys(found.votes, (None, None))
        assert found.table["status"].tolist() == ["ok", "duplicate"]  # detections 2.5 um apart are one figure
        assert any("labelled by" in note and "a program" in note for note in found.notes)
        written = path.read_text()
        for reader in ("", "Ann"):  # as a person leaves it who looked at every row
            path.write_text(written.replace(f"wsiamf {MODEL}", reader))
            found = read_candidates(path, NamedSlide("case 1.svs", FRAME))
            assert found.table["by_person"].all()
            assert found.table["status"].tolist() == ["ok", "ok"]
            said = [note for note in found.notes if "labelled by 'Ann', taken for a person's" in note]
            assert len(said) == bool(reader)

    @pytest.mark.parametrize("to", POINT_FORMATS)
    def test_no_export_is_taken_for_a_persons(self, tmp_path: Path, to: str) -> None:
        table = table_at(np.array([5_000.0, 5_010.0]), np.array([5_000.0, 5_000.0])).assign(score=None)
        folder = write_results(tmp_path / "slide", table)
        found = read_candidates(export_results(folder, to, target=tmp_path)[0], NamedSlide("case 1.svs", FRAME))
        assert not found.table["by_person"].any()
        assert found.table["status"].tolist() == ["ok", "duplicate"]  # merged as detections are
        assert any(f"labelled by 'wsiamf {MODEL}'" in note for note in found.notes)
        assert not found.votes

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("UPDATE Annotations SET lastModified = 1.7e9 WHERE uid = 2", "annotations are changed"),
            ("UPDATE Annotations SET deleted = 1 WHERE uid = 2", "annotations are changed or deleted"),
            ("INSERT INTO Log (dateTime, labelId) VALUES (1, 1)", "its log has entries"),
            ("CREATE TRIGGER seen AFTER INSERT ON Log BEGIN SELECT 1; END", "SlideRunner has opened it"),
        ],
    )
    def test_a_database_that_was_worked_on_is_never_replaced(
        self, results: Path, tmp_path: Path, change: str, said: str
    ) -> None:
        (path,) = export_results(results, "sliderunner", target=tmp_path / "labels.sqlite")
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(change)
        before = path.read_bytes()
        with pytest.raises(OutputExistsError, match=said):
            export_results(results, "sliderunner", target=path, overwrite=True)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("to", ["sliderunner", "tiatoolbox"])
    @pytest.mark.parametrize("ending", ["-wal", "-journal"])
    def test_nothing_is_put_beside_the_changes_of_another_program(
        self, results: Path, tmp_path: Path, to: str, ending: str
    ) -> None:
        (path,) = export_results(results, to, target=tmp_path)
        beside = path.with_name(path.name + ending)
        beside.write_bytes(b"changes")
        before = path.read_bytes()
        with pytest.raises(OutputExistsError, match="close the program that has it open"):
            export_results(results, to, target=tmp_path, overwrite=True)
        path.unlink()
        with pytest.raises(OutputExistsError, match="close the program"):  # a new file would get the old changes
            export_results(results, to, target=tmp_path)
        assert not path.exists()
        path.write_bytes(before)
        beside.write_bytes(b"")
        export_results(results, to, target=tmp_path, overwrite=True)

    def test_what_a_person_adds_is_a_persons(self, tmp_path: Path) -> None:
        folder = write_results(tmp_path / "slide", made_table(6).assign(score=None))
        slide = NamedSlide("case 1.svs", FRAME)
        (path,) = export_results(folder, "asap", target=tmp_path)
        place = '<Coordinates><Coordinate Order="0" X="5" Y="5"/></Coordinates>'
        dot = f'<Annotation Name="a" Type="Dot" PartOfGroup="mine">{place}</Annotation></Annotations>'
        path.write_text(path.read_text().replace("</Annotations>", dot))
        assert read_candidates(path, slide).table["by_person"].tolist() == [False] * 4 + [True]
        (path,) = export_results(folder, "sliderunner", target=tmp_path)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("INSERT INTO Persons (uid, name) VALUES (2, 'Ann')")
            database.execute("INSERT INTO Annotations_label (person, class, annoId) VALUES (2, 1, 3)")
        found = read_candidates(path, slide)
        assert found.table["by_person"].tolist() == [False, False, True, False]
        assert any("labels of 'Ann': name those" in note for note in found.notes)  # and not the model
        chosen = read_candidates(path, slide, raters=[f"wsiamf {MODEL}"])
        assert chosen.table["by_person"].all()

    def test_refuses_to_overwrite_before_anything_is_written(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write_results(tmp_path / "cohort" / name, made_table(6), slide=Path(f"{name}.svs"))
        (tmp_path / "xml").mkdir()
        (tmp_path / "xml" / "b.xml").write_text("mine")
        with pytest.raises(OutputExistsError, match="--overwrite"):
            export_results(tmp_path / "cohort", "asap", target=tmp_path / "xml")
        assert [path.name for path in (tmp_path / "xml").iterdir()] == ["b.xml"]
        export_results(tmp_path / "cohort", "asap", target=tmp_path / "xml", overwrite=True)
        assert (tmp_path / "xml" / "b.xml").read_text() != "mine"

    def test_never_touches_a_database_that_people_labelled(self, results: Path, tmp_path: Path) -> None:
        (path,) = export_results(results, "sliderunner", target=tmp_path / "labels.sqlite")
        with pytest.raises(OutputExistsError, match="exists already"):
            export_results(results, "sliderunner", target=path)
        export_results(results, "sliderunner", target=path, overwrite=True)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("INSERT INTO Persons (name) VALUES ('expert 1')")
        before = path.read_bytes()
        with pytest.raises(OutputExistsError, match=r"expert 1.*--overwrite does not touch it"):
            export_results(results, "sliderunner", target=path, overwrite=True)
        assert path.read_bytes() == before
        (tmp_path / "no.sqlite").write_text("no database")
        with pytest.raises(OutputExistsError, match="--overwrite does not touch it"):
            export_results(results, "sliderunner", target=tmp_path / "no.sqlite", overwrite=True)

    def test_what_is_no_result(self, tmp_path: Path, results: Path) -> None:
        with pytest.raises(ExportError, match="no such folder"):
            export_results(tmp_path / "nowhere", "asap", target=tmp_path)
        with pytest.raises(ExportError, match=r"holds no results of wsiamf \(no run.json\)"):
            export_results(tmp_path, "asap", target=tmp_path)
        with pytest.raises(ConfigError, match="choose one of qupath-project"):
            export_results(results, "word", target=tmp_path)
        (results / "summary.json").write_text('{"schema": "wsiamf.summary/2"}')
        with pytest.raises(ExportError, match="newer version"):
            export_results(results, "asap", target=tmp_path)
        (results / "summary.json").write_text("[")
        with pytest.raises(ExportError, match="cannot be read"):
            export_results(results, "asap", target=tmp_path)

    def test_a_record_that_does_not_say_where_the_slide_is(self, tmp_path: Path, results: Path) -> None:
        record = json.loads((results / "run.json").read_text())
        (results / "run.json").write_text(json.dumps(record | {"host": {}}))
        with pytest.raises(ExportError, match=r"run\.json: does not say where the slide is .*; screen the slide again"):
            export_results(results, "qupath-project", target=tmp_path / "project")
        assert list((tmp_path / "project").iterdir()) == []

    def test_one_place_for_several_slides(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write_results(tmp_path / "cohort" / name, made_table(6), slide=Path(f"{name}.svs"))
        with pytest.raises(ExportError, match="--slide names one slide, but 2"):
            export_results(tmp_path / "cohort", "qupath-project", target=tmp_path, slide="a.svs")

    def test_command(self, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "p.tsv"
        assert run(["export", str(results), "--to", "qupath-points", "--out", str(target)]) == 0
        assert capsys.readouterr().out == f"{target}\n"
        assert run(["export", str(results), "--to", "qupath-points", "--out", str(target)]) == 1
        assert "--overwrite" in capsys.readouterr().err


def test_geojson_reads_ours(results: Path) -> None:
    for name in ("detections", "review"):
        content = geojson.loads((results / f"{name}.geojson").read_text("utf-8"))
        assert content.is_valid, content.errors()
        assert content["features"]


def test_tiatoolbox_reads_the_store(results: Path, tmp_path: Path) -> None:
    python = os.environ.get("WSIAMF_TIATOOLBOX_PYTHON")
    if not python:
        pytest.skip(
            "WSIAMF_TIATOOLBOX_PYTHON names no Python with TIAToolbox (benchmarks/tiatoolbox_environment.py makes one)"
        )
    (path,) = export_results(results, "tiatoolbox", target=tmp_path)
    script = """
import json, sqlite3, sys
from tiatoolbox.annotation.storage import SQLiteStore
if not hasattr(sqlite3.Connection, "enable_load_extension"):  # asked of it needlessly, before it lists its options
    options = [name for (name,) in sqlite3.connect(":memory:").execute("pragma compile_options")]
    SQLiteStore.compile_options = staticmethod(lambda: options)
store = SQLiteStore(sys.argv[1])
every = [[key, one.geometry.x, one.geometry.y, one.properties["type"]] for key, one in store.items()]
near = store.query((0, 0, 20_000, 80_000), where="props['type'] == 'AMF'")
print(json.dumps([every, sorted(near)]))
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", script, str(path)], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    every, near = json.loads(done.stdout.splitlines()[-1])
    table = made_table(12)
    counted = table[table["status"] == "ok"]
    assert sorted(every) == sorted(counted[["uuid", "x", "y", "label"]].to_numpy().tolist())
    assert near == sorted(counted.loc[(counted["x"] <= 20_000) & (counted["label"] == "AMF"), "uuid"])


def made_dicom_results(folder: Path, odd: Mapping[str, str | None]) -> Path:
    """Results on a made slide whose header has these values, None for none at all, as they stand."""
    pydicom = pytest.importorskip("pydicom")
    path, *_ = write_dicom_slide(folder / "slide", [np.full((96, 128, 3), 200, np.uint8)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(path)
        for keyword, value in odd.items():
            setattr(header, keyword, value or "")
            if value is None:
                delattr(header, keyword)
        header.save_as(path)
        with open_slide(path) as opened:
            frame, fingerprint = opened.frame, opened.fingerprint
    table = table_at(np.array([0.0, 3.25]), np.array([0.5, 9.0]), frame)
    return write_results(folder / "made", table, frame, slide=path, vendor="dicom", fingerprint=fingerprint)


class TestDicom:
    """Against the library that writes the same objects elsewhere."""

    @pytest.fixture
    def dicom_results(self, shared_data: Path, tmp_path: Path) -> Path:
        slide = shared_data / "slides" / "boxes_0.dcm"
        with open_slide(slide) as opened:
            frame, fingerprint = opened.frame, opened.fingerprint
        table = table_at(np.array([0.0, 3.25, 15.5]), np.array([0.5, 9.0, 1.75]), frame)
        table["label"] = ["AMF", "NMF", "AMF"]
        table["score"] = [0.5, None, 0.75]
        return write_results(tmp_path / "boxes", table, frame, slide=slide, vendor="dicom", fingerprint=fingerprint)

    def test_read_back(self, dicom_results: Path, tmp_path: Path, shared_data: Path) -> None:
        highdicom, pydicom = pytest.importorskip("highdicom"), pytest.importorskip("pydicom")
        (path,) = export_results(dicom_results, "dicom-ann", target=tmp_path)
        found = highdicom.ann.annread(path)
        source = pydicom.dcmread(shared_data / "slides" / "boxes_0.dcm", stop_before_pixels=True)
        assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert found.StudyInstanceUID == source.StudyInstanceUID
        assert found.AnnotationCoordinateType == "2D"
        amf, nmf = found.get_annotation_groups()
        assert (amf.label, nmf.label) == ("AMF", "NMF")
        assert amf.GraphicType == "POINT"
        # DICOM's first pixel has its centre at (1, 1): half a pixel more than the outer corner's 0
        assert np.concatenate(amf.get_graphic_data("2D")).tolist() == [[0.5, 1.0], [16.0, 2.25]]
        assert np.concatenate(nmf.get_graphic_data("2D")).tolist() == [[3.75, 9.5]]
        names, values, _ = amf.get_measurements()
        assert [name.value for name in names] == ["P_ATYPICAL", "SCORE"]
        assert values[:, 1].tolist() == [0.5, 0.75]

    def test_equal_bytes_without_today(self, dicom_results: Path, tmp_path: Path) -> None:
        pytest.importorskip("highdicom")
        contents = {export_results(dicom_results, "dicom-ann", target=tmp_path / k)[0].read_bytes() for k in "ab"}
        assert len(contents) == 1
        assert f"{datetime.now():%Y%m%d}".encode() not in contents.pop()

    def test_another_slide_is_refused(self, dicom_results: Path, tmp_path: Path, shared_data: Path) -> None:
        pytest.importorskip("highdicom")
        other = shared_data / "slides" / "CMU-1-Small-Region.svs"
        with pytest.raises(ExportError, match="not the slide that was screened"):
            export_results(dicom_results, "dicom-ann", target=tmp_path, slide=other)
        with pytest.raises(ExportError, match="--slide"):
            export_results(dicom_results, "dicom-ann", target=tmp_path, slide=tmp_path / "gone.dcm")

    def test_no_dicom_slide(self, results: Path, tmp_path: Path) -> None:
        pytest.importorskip("highdicom")
        with pytest.raises(ExportError, match="not a DICOM slide"):
            export_results(results, "dicom-ann", target=tmp_path)

    @pytest.mark.parametrize(
        "odd",
        [
            pytest.param({"PatientName": "Erika Muster", "PatientID": "Muster" * 12}, id="words"),
            pytest.param({"ContentDate": "1.2.1950 Muster", "ContentTime": "Muster"}, id="times"),
        ],
    )
    def test_no_warning_quotes_the_header(self, tmp_path: Path, odd: dict[str, str]) -> None:
        pydicom = pytest.importorskip("pydicom")
        pytest.importorskip("highdicom")
        results = made_dicom_results(tmp_path, odd)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (path,) = export_results(results, "dicom-ann", target=tmp_path)
        assert [str(warning.message) for warning in caught] == []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = pydicom.dcmread(path)
            assert {keyword: str(written[keyword].value) for keyword in odd} == odd

    @pytest.mark.parametrize(
        ("odd", "said"),
        [
            ({"PatientSex": "W Muster"}, "a value of PatientSex, PatientBirthDate, StudyDate or StudyTime"),
            ({"PatientBirthDate": "1.2.1950 Muster"}, "that DICOM does not allow"),
            ({"StudyInstanceUID": None}, "its header lacks StudyInstanceUID, by which"),
            ({"StudyInstanceUID": None, "FrameOfReferenceUID": ""}, "lacks StudyInstanceUID and FrameOfReferenceUID,"),
        ],
    )
    def test_a_header_that_cannot_be_copied_is_refused_unquoted(
        self, tmp_path: Path, odd: dict[str, str | None], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("highdicom")
        results = made_dicom_results(tmp_path, odd)
        out = tmp_path / "exported"
        assert run(["export", str(results), "--to", "dicom-ann", "--out", str(out)]) == 1
        shown = capsys.readouterr().err
        assert said in shown
        assert "level_0.dcm" in shown
        assert "Muster" not in shown
        assert list(out.iterdir()) == []

    def test_without_the_extra(self, dicom_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "highdicom", None)
        with pytest.raises(ExportError, match=r"pip install \"wsiamf\[dicom\]\""):
            export_results(dicom_results, "dicom-ann", target=tmp_path / "exported")
        assert list((tmp_path / "exported").iterdir()) == []
