"""SlideRunner databases: the real MIDOG one, and its three generations with every kind of annotation."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.points_fuzz import SLIDE, positions, refusal, slide_of
from tests.sliderunner_files import (
    AREA,
    CIRCLE,
    IMAGE,
    POLYGON,
    SPECIAL_SPOT,
    Annotation,
    Generation,
    write_sliderunner,
)
from wsiamf.candidates import read_candidates
from wsiamf.candidates.raw import NamedSlide
from wsiamf.candidates.reading import read_points

GENERATIONS = get_args(Generation)
REAL = "annotations/MIDOG.sqlite"


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "slides & notes?.sqlite"
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".sqlite"] == []  # nothing beside the database


def test_the_real_database_is_midogs_json(shared_data: Path) -> None:
    midog = json.loads((shared_data / "annotations/MIDOG.json").read_text())
    names = {image["id"]: image["file_name"] for image in midog["images"]}
    boxes = {(names[a["image_id"]], *np.add(a["bbox"][:2], a["bbox"][2:]) / 2) for a in midog["annotations"]}
    _, raw = read_points(shared_data / REAL, NamedSlide())
    assert raw.slides is not None
    found = set(zip(raw.slides, raw.x, raw.y, strict=True))
    assert len(raw) == 4435
    assert len(found & boxes) > 0.99 * len(boxes)  # MIDOG's clipped boxes have another centre
    assert Counter(raw.labels) == {"non-mitotic": 2714, "mitotic figure": 1721}


def test_the_real_databases_persons_are_kept_and_are_no_voters(shared_data: Path) -> None:
    _, raw = read_points(shared_data / REAL, NamedSlide())
    assert raw.person_labels is not None
    assert list(raw.person_labels) == ["expert 1", "RetinaNet", "expert 2", "expert 3"]
    assert Counter(raw.person_labels["expert 1"]) == {"not mitotic figure": 2671, "mitotic figure": 1764}
    assert Counter(raw.person_labels["RetinaNet"]) == {None: 3597, "not mitotic figure": 838}
    found = read_candidates(shared_data / REAL, slide_of("094.tiff", 7215, 5412), raters=("expert 1",))
    assert (found.votes, found.format) == ({}, "sliderunner")  # mitotic or not is no vote on atypical


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_and_kind(path: Path, generation: Generation) -> None:
    annotations = [
        Annotation([(100, 200)]),
        Annotation([(1000, 1000), (1050, 1040)], AREA, agreed=2),
        Annotation([(2000, 2000), (2040, 2000), (2040, 2040)], POLYGON, agreed=0),
        Annotation([(3000.5, 3000)], SPECIAL_SPOT, agreed=None),
        Annotation([(4000, 4000), (4020, 4020)], CIRCLE, agreed=9),
        Annotation([], IMAGE),
        Annotation([(5, 5)], slide=2),
    ]
    slides = (r"D:\scans\case_1.svs", "case_2.svs")
    write_sliderunner(path, annotations, generation=generation, slides=slides)
    before = path.read_bytes()
    found = read_candidates(path, SLIDE)
    expected = [(100, 200), (1025, 1020), (2000 + 80 / 3, 2000 + 40 / 3), (3000.5, 3000), (4010, 4010)]
    np.testing.assert_allclose(positions(found), expected, atol=1e-9)
    assert found.table["source_label"].tolist() == ["AMF", "NMF", None, None, "class 9"]
    assert found.table["candidate_id"].tolist() == ["1", "2", "3", "4", "5"]
    assert found.table["by_person"].all()
    assert path.read_bytes() == before


@pytest.mark.parametrize("generation", GENERATIONS[1:])
def test_what_is_deleted_is_skipped(path: Path, generation: Generation) -> None:
    write_sliderunner(path, [Annotation([(1, 2)], deleted=1), Annotation([(3, 4)])], generation=generation)
    assert positions(read_candidates(path, SLIDE)) == [(3.0, 4.0)]


@pytest.mark.parametrize(
    ("word", "status"),
    [("Mitosis", "ok"), ("Mitose", "ok"), ("Mitotic figure", "ok"), ("Nonmitosis", None), ("Hard negative", None)],
)
def test_class_names_vary(path: Path, word: str, status: str | None) -> None:
    write_sliderunner(path, [Annotation([(1, 2)])], classes=(word,))
    table = read_candidates(path, SLIDE).table
    assert table["status"].tolist() == ([status] if status else [])


def test_votes_are_those_of_the_persons_named(path: Path) -> None:
    annotations = [
        Annotation([(1, 2)], said=[(1, 1), (2, 2), (3, 1)]),
        Annotation([(300, 2)], said=[(1, 2), (1, 2), (2, 3)]),
        Annotation([(600, 2)], said=[(1, 1), (1, 2), (2, 0)]),
    ]
    write_sliderunner(path, annotations, classes=("AMF", "NMF", "Hard negative"))
    unnamed = read_candidates(path, SLIDE)
    assert unnamed.votes == {}
    note = "holds AMF and NMF labels of 'Ann', 'Bob', 'RetinaNet': name those who are experts with --raters"
    assert note in unnamed.notes
    assert "1 label left out: one person gave several classes to one annotation" in unnamed.notes
    found = read_candidates(path, SLIDE, raters=("Ann", "Bob"))
    assert found.votes == {"Ann": ("AMF", "NMF", None), "Bob": ("NMF", None, None)}


def test_regions_beside_figures_are_left_out(path: Path) -> None:
    region = Annotation([(0, 0), (4000, 3000)], AREA)
    write_sliderunner(path, [region, Annotation([(100, 100)])])
    found = read_candidates(path, SLIDE)
    assert positions(found) == [(100.0, 100.0)]
    assert "1 outline wider than 100 um taken for regions and left out" in found.notes
    path.unlink()
    write_sliderunner(path, [region])
    assert positions(read_candidates(path, SLIDE)) == [(2000.0, 1500.0)]


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Annotation([]), "annotation 1: it has no coordinates"),
        (Annotation([("here", 2)]), "annotation 1: its coordinates are [('here', 2)]"),
        (Annotation([(None, 2)]), "annotation 1: its coordinates are"),
        (Annotation([(1e999, 2)]), "annotation 1: its coordinates are no numbers"),
        (Annotation([(9e18, 2)]), "lies off the slide"),
        (Annotation([(1, 2)], kind=77), "annotation 1: its type is 77, which is none of SlideRunner's"),
        (Annotation([(1, 2)], kind="SPOT"), "annotation 1: its type is 'SPOT'"),
    ],
)
def test_annotations_without_a_place_are_named(path: Path, annotation: Annotation, said: str) -> None:
    assert said in refusal(write_sliderunner(path, [annotation]))


def test_a_database_that_is_not_whole_is_refused(path: Path, tmp_path: Path) -> None:
    write_sliderunner(path, [Annotation([(1, 2)])])
    beside = path.with_name(path.name + "-wal")
    beside.write_bytes(b"x")
    assert "slides & notes?.sqlite-wal beside it holds changes that are not in it yet" in refusal(path)
    beside.write_bytes(b"")
    assert len(read_candidates(path, SLIDE).table) == 1
    beside.unlink()
    path.write_bytes(path.read_bytes()[:9000])
    assert "not a readable SQLite database" in refusal(path, points_format="sliderunner")


def test_a_wal_database_is_read_without_a_file_beside_it(path: Path) -> None:
    write_sliderunner(path, [Annotation([(1, 2)])])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert positions(read_candidates(path, SLIDE)) == [(1.0, 2.0)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TABLE Annotations_coordinates", "its table Annotations_coordinates lacks coordinatex"),
        ("ALTER TABLE Slides RENAME COLUMN filename TO file", "its table Slides lacks filename"),
        ("INSERT INTO Slides (filename) VALUES ('case_1.svs')", "'case_1.svs' is listed 2 times in its table Slides"),
        ("UPDATE Slides SET filename = 'case_7.svs'", "the nearest of its 1 names is 'case_7.svs'"),
    ],
)
def test_what_a_database_lacks_is_named(path: Path, statement: str, said: str) -> None:
    write_sliderunner(path, [Annotation([(1, 2)])])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    assert said in refusal(path, points_format="sliderunner")


def test_persons_classes_and_labels_may_be_missing(path: Path) -> None:
    write_sliderunner(path, [Annotation([(1, 2)])])
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("Persons", "Classes", "Annotations_label"):
            connection.execute(f"DROP TABLE {table}")
    assert read_candidates(path, SLIDE).table["source_label"].tolist() == ["class 1"]


def test_a_view_that_never_ends_is_not_read(path: Path) -> None:
    write_sliderunner(path, [Annotation([(1, 2)])])
    endless = "WITH RECURSIVE n(uid) AS (SELECT 1 UNION ALL SELECT uid + 1 FROM n) SELECT uid, 1 AS slide FROM n"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE Annotations")
        connection.execute(f"CREATE VIEW Annotations AS {endless}")
    assert "its table Annotations lacks uid, slide" in refusal(path, points_format="sliderunner")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(st.tuples(st.floats(0, 19_999), st.floats(0, 9_999)), max_size=20),
    generation=st.sampled_from(GENERATIONS),
)
def test_spots_come_back_as_they_were_written(
    points: list[tuple[float, float]], generation: Any, tmp_path: Path
) -> None:
    path = tmp_path / "round.sqlite"
    path.unlink(missing_ok=True)
    write_sliderunner(path, [Annotation([point]) for point in points], generation=generation)
    assert positions(read_candidates(path, SLIDE)) == points
