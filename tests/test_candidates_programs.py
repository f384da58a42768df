"""Results of TIAToolbox, HoVer-NeXt, CellViT and grand-challenge's detectors: what is read, and what is refused."""

from __future__ import annotations

import gzip
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import program_files as made
from tests.points_fuzz import (
    INSIDE,
    LONG,
    MANY,
    MRXS,
    SHORT,
    SLIDE,
    PointsSlide,
    bounded_memory,
    fuzz,
    hostile_files,
    positions,
    raw_points,
    read,
    refusal,
    refused,
    slide_of,
)
from wsiamf.candidates import read_candidates

STORE = Path(__file__).parent / "files" / "tiatoolbox_2.1.3.db.gz"
ANISOTROPIC = PointsSlide("001.tiff", replace(slide_of("001.tiff", mpp=0.25).frame, stated_mpp_xy=(0.2482, 0.2491)))
TYPES = {"0": "Background", "1": "Mitotic figure", "2": "Non-mitotic", "3": "Lymphocyte"}
INSIDE_BOUNDS = st.tuples(st.floats(0, 9_999), st.floats(0, 4_999))


def in_mm(x: float, y: float, name: str = "mitotic figure", **more: Any) -> dict[str, Any]:
    """A point as ITK makes mm of px, on ``SLIDE``."""
    return {"name": name, "point": [x * 0.25 / 1000, y * 0.25 / 1000, 0], **more}


def test_a_store_that_tiatoolbox_wrote(tmp_path: Path) -> None:
    """The file is ``make_tiatoolbox_store.py``'s, made with TIAToolbox 2.1.3."""
    path = tmp_path / "results.db"
    path.write_bytes(gzip.decompress(STORE.read_bytes()))
    found = read_candidates(path, SLIDE, include_non_mitotic=True)
    assert (found.format, found.points_frame) == ("tiatoolbox-db", "level0")
    assert positions(found) == [(1200, 3400), (19_999, 0), (7, 9999), (524, 620)]
    assert found.table["score"].tolist() == [0.9921875, 0.5, 0.75, 0.25]
    assert found.table["candidate_id"].tolist() == ["figure-1", "figure-2", "figure-3", "figure-4"]
    assert found.table["source_label"].tolist() == ["mitotic figure"] * 3 + ["non-mitotic"]
    assert not found.table["by_person"].any()
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.db"]  # nothing is made beside it
    assert path.read_bytes() == gzip.decompress(STORE.read_bytes())


def test_stores_of_persons_and_other_programs(tmp_path: Path) -> None:
    rows: list[tuple[float, float, dict[str, Any] | str, float]] = [
        (10.0, 20.0, {"type": "AMF"}, 0.0),
        (30.0, 40.0, {"class": 3}, 0.0),
        (50.0, 60.0, {"classification": {"name": "Mitosis", "color": [1, 2, 3]}}, 900.0),
        (70.0, 80.0, "{}", 0.0),
        (90.0, 100.0, {"type": "Tumour"}, 1e8),
    ]
    found = read_candidates(made.tiatoolbox_store(tmp_path / "a.db", rows), SLIDE)
    assert found.table["source_label"].tolist() == ["AMF", "3", "mitotic figure", None]
    assert found.table["by_person"].tolist() == [True, False, True, False]
    assert found.notes[0] == "1 outline wider than 100 um taken for regions and left out"
    spoilt = made.tiatoolbox_store(tmp_path / "b.db", [(1.0, 2.0, "[1]", 0.0), (1.0, 2.0, "{" * 100_000, 0.0)])
    assert "2 annotations cannot be used (annotation 1: its properties are no JSON object" in refusal(spoilt)


def test_spoilt_stores_are_refused(tmp_path: Path) -> None:
    whole = gzip.decompress(STORE.read_bytes())
    path = tmp_path / "store.db"
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable SQLite database" in refusal(path)
    path.write_bytes(whole)
    path.with_name("store.db-wal").write_bytes(b"x")
    assert "store.db-wal beside it holds changes" in refusal(path, points_format="tiatoolbox-db")
    endless = tmp_path / "endless.db"
    connection = sqlite3.connect(endless)
    connection.execute(
        "CREATE VIEW annotations AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
        "SELECT n AS id, n AS key, n AS cx, n AS cy, '{}' AS properties, 0 AS area FROM c"
    )
    connection.close()
    assert "has no table 'annotations'" in refusal(endless, points_format="tiatoolbox-db")
    assert "not a points file" in refusal(endless)


def test_hovernext_tables_are_in_qupaths_frame(tmp_path: Path) -> None:
    found = read(tmp_path, made.hovernext_table([(10.5, 20.0), (300.0, 400.0)]), MRXS)
    assert (found.format, found.points_frame) == ("hovernext-tsv", "qupath")
    assert positions(found) == [(3010.5, 2020.0), (3300.0, 2400.0)]
    assert found.table["source_label"].tolist() == ["mitotic figure"] * 2
    assert not found.table["by_person"].any()
    assert len(read(tmp_path, made.hovernext_table([])).table) == 0
    other = made.hovernext_table([(1.0, 2.0)], name="lymphocyte")
    assert "none of its classes is mitotic figures ('lymphocyte')" in refused(tmp_path, other)
    assert read(tmp_path, b"x\ty\tname\tcolor\n1\t2\tmy points\t-256\n").format == "qupath-points"


@pytest.mark.parametrize(
    ("mpp", "factor"), [(0.25, 2.0), (0.2425, 2.0), (0.2, 2.0), (0.29, 2.0), (0.5, 1.0), (0.4, 1.0)]
)
def test_hovernext_nuclei_are_scaled_as_the_program_reads_the_slide(tmp_path: Path, mpp: float, factor: float) -> None:
    data = made.hovernext_nuclei([(7, 100.0, 200.0), (3, 1.0, 2.0), (2, 1.0, 2.0), (7, 300.5, 400.0)])
    found = read(tmp_path, data, slide_of(mpp=mpp))
    assert (found.format, found.points_frame) == ("hovernext-json", "qupath")
    assert positions(found) == [(100 * factor, 200 * factor), (300.5 * factor, 400 * factor)]
    assert found.table["candidate_id"].tolist() == ["1", "4"]
    assert found.table["source_row"].tolist() == [1, 4]
    assert found.notes[0] == "2 cells of other classes left out: 'lymphocyte' (1), 'epithelial-cell' (1)"
    assert f"taken as {factor:g} level-0 px a px" in found.notes[1]


def test_hovernext_nuclei_count_from_the_bounds(tmp_path: Path) -> None:
    data = made.hovernext_nuclei([(7, 100.0, 200.0)])
    assert positions(read(tmp_path, data, MRXS)) == [(3200.0, 2400.0)]


@pytest.mark.parametrize("mpp", [0.97, 0.35, 0.18, 0.1214])
def test_hovernext_nuclei_of_slides_that_it_lays_out_at_mixed_scale(tmp_path: Path, mpp: float) -> None:
    data = made.hovernext_nuclei([(7, 100.0, 200.0)])
    assert f"and this one has {mpp:g}" in refused(tmp_path, data, slide_of(mpp=mpp))
    raw = raw_points(tmp_path, "hovernext-json", data)
    assert (raw.unit, raw.x.tolist(), raw.y.tolist()) == ("um", [50.0], [100.0])


def test_cellvit_cells_of_other_classes_are_left_out(tmp_path: Path) -> None:
    cells = [made.cell(100, 200, 1, 0.75), made.cell(5, 6, 3), made.cell(300.5, 400, 2, 0.25), made.cell(7, 8, 9)]
    found = read(tmp_path, made.cellvit(cells, TYPES), MRXS, include_non_mitotic=True)
    assert (found.format, found.points_frame) == ("cellvit-json", "level0")
    assert positions(found) == [(100, 200), (300.5, 400)]
    assert found.table["score"].tolist() == [0.75, 0.25]
    assert found.table["source_label"].tolist() == ["mitotic figure", "non-mitotic"]
    assert found.notes[0] == "2 cells of other classes left out: 'Lymphocyte' (1), 'type 9' (1)"
    late = json.loads(made.cellvit(cells, TYPES))
    late["type_map"] = late.pop("type_map")
    assert positions(read(tmp_path, json.dumps(late).encode())) == [(100, 200)]
    nuclei = made.cellvit(cells, {"1": "Neoplastic", "2": "Dead"})
    assert "none of its classes is mitotic figures ('Dead', 'Neoplastic')" in refused(tmp_path, nuclei)


def test_cellvits_geojson_is_read_as_qupaths(tmp_path: Path) -> None:
    """One feature a class (its config/templates.py); bounds not subtracted, so the frame must be given where there are any."""
    features = [
        {
            "type": "Feature",
            "id": "9f1c4b1e-8a77-4d0e-9b52-0c6f1a2b3c4d",
            "geometry": {"type": "MultiPoint", "coordinates": places},
            "properties": {"objectType": "annotation", "classification": {"name": name, "color": [255, 0, 0]}},
        }
        for name, places in (("Mitotic figure", [[3100.5, 2200.0], [3300.0, 2400.0]]), ("Non-mitotic", [[3050, 2060]]))
    ]
    found = read(tmp_path, json.dumps(features).encode(), MRXS, points_frame="level0")
    assert (found.format, found.n_excluded_non_mitotic) == ("qupath-geojson", 1)
    assert positions(found) == [(3100.5, 2200.0), (3300.0, 2400.0)]
    assert found.table["source_label"].tolist() == ["mitotic figure"] * 2


def test_grand_challenge_points_are_mm(tmp_path: Path) -> None:
    points = [
        in_mm(100, 200, probability=0.9),
        in_mm(300, 400, "non-mitotic figure", probability=0.1),
        in_mm(19_999, 9_999, probability=0.5),
    ]
    found = read(tmp_path, made.grand_challenge(points))
    assert (found.format, found.points_frame, found.n_excluded_non_mitotic) == ("grand-challenge-json", "level0", 1)
    np.testing.assert_allclose(found.table[["x", "y"]], [(100, 200), (19_999, 9_999)])
    assert found.table["score"].tolist() == [0.9, 0.5]
    assert not found.table["by_person"].any()
    persons = read(tmp_path, made.grand_challenge([in_mm(1, 2), in_mm(5, 6, "Point 1")]))
    assert persons.table["by_person"].tolist() == [True, False]
    assert len(read(tmp_path, made.grand_challenge([]), min_score=0.5).table) == 0
    raw = raw_points(tmp_path, "grand-challenge-json", made.grand_challenge([in_mm(1000, 2000)]))
    assert (raw.unit, raw.x.tolist(), raw.y.tolist()) == ("mm", [0.25], [0.5])


def test_grand_challenge_points_that_can_only_be_px(tmp_path: Path) -> None:
    points = [{"name": "mitotic figure", "point": [x, y, 0], "probability": 0.5} for x, y in ((100, 200), (900, 800))]
    found = read(tmp_path, made.grand_challenge(points))
    assert positions(found) == [(100, 200), (900, 800)]
    assert found.notes[0].endswith("taken as px, as programs write them that read a slide without its resolution")
    nameless = (
        b'{"type": "Multiple points", "points": [{"point": [0.5, 0.25, 0]}], "version": {"major": 1, "minor": 0}}'
    )
    assert positions(read(tmp_path, nameless)) == [(2000, 1000)]  # as MIDOG's first reference detector wrote them
    assert read(tmp_path, made.grand_challenge([])).notes == ()
    of_another = [{"name": "mitotic figure", "point": [x, y, 0]} for x, y in ((12.5, 8.1), (20.3, 9.9), (31.0, 14.2))]
    assert "3 points cannot be used" in refused(tmp_path, made.grand_challenge(of_another))
    elsewhere = made.grand_challenge([{"name": "mitotic figure", "point": [1e5, 1, 0]}])
    assert "point 1: (4e+08, 4000) lies off the slide" in refused(tmp_path, elsewhere)


@MANY
@given(st.lists(INSIDE, max_size=20), st.lists(INSIDE_BOUNDS, max_size=20))
def test_points_come_back(tmp_path: Path, points: list[tuple[float, float]], shown: list[tuple[float, float]]) -> None:
    mpp_x, mpp_y = ANISOTROPIC.frame.mpp_xy
    itk = [{"name": "mitotic figure", "point": [x * mpp_x / 1000, y * mpp_y / 1000, 0]} for x, y in points]
    store = tmp_path / "store.db"
    store.unlink(missing_ok=True)
    made.tiatoolbox_store(store, [(x, y, {"type": "mitosis"}, 0.0) for x, y in points])
    files = [
        (made.grand_challenge(itk), ANISOTROPIC, points),
        (made.cellvit([made.cell(x, y, 1) for x, y in points], TYPES), MRXS, points),
        (made.hovernext_table(shown), MRXS, [(x + 3000, y + 2000) for x, y in shown]),
        (
            made.hovernext_nuclei([(7, x / 2, y / 2) for x, y in shown]) if shown else made.hovernext_table([]),
            MRXS,
            [(x + 3000, y + 2000) for x, y in shown],
        ),
        (store.read_bytes(), MRXS, points),
    ]
    for data, slide, expected in files:
        found = read(tmp_path, data, slide)
        np.testing.assert_allclose(found.table[["x", "y"]], np.reshape(expected, (-1, 2)), atol=0.5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"type": "Multiple points", "points": [', "not valid JSON"),
        (b'{"type": "Multiple points"}', "has no list 'points'"),
        (b'{"type": "Point", "points": [{"point": [1, 2]}]}', "its type is 'Point'; expected 'Multiple points'"),
        (b'{"type": "Multiple points", "points": 3}', "not valid JSON: expected '['"),
        (b'{"points": [{"point": [NaN, 2]}]}', "point 1: x is missing"),
        (b'{"points": [{"point": [1, Infinity]}]}', "point 1: y is infinite"),
        (b'{"points": [{"point": [1, ' + b"9" * 400 + b"]}]}", "point 1: y is infinite"),
        (b'{"points": [{"point": [1, ' + b"9" * 5000 + b"]}]}", "not valid JSON: Exceeds the limit"),
        (b'{"points": [{"point": "1, 2"}, 7]}', "point 1: {'point': '1, 2'} has no point of x, y, z; point 2: 7"),
        (b'{"points": [{"point": [true, "a"]}]}', "point 1: x is True, not a number, y is 'a', not a number"),
        (b'{"points": [{"point": [1, 2], "probability": "high"}]}', "point 1: score is 'high', not a number"),
        (b'{"points": [{"point": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"type_map": {}, "cells": [' + b"[" * 200_000, "nested too deeply"),
        (b'{"cells": []}', "has no type_map"),
        (b'{"cells": [], "type_map": [1]}', "its type_map is [1]; expected names by number"),
        (
            b'{"type_map": {"1": "mitosis"}, "cells": [{"type": 1, "centroid": [1]}]}',
            "cell 1: it has no type or no centroid",
        ),
        (b'{"1": [7, [1, 2]], "2": [7, 1, 2], "3": 5}', "cell 2: [7, 1, 2] is no class and (y, x); cell 3: 5 is no"),
        (b'{"1": [7, [1, 2]], "1": [7, [5, 6]]}', "cells 1 and 2 have the same id '1'"),
        (b'{"1": [7, [1, 2]]', "not valid JSON: expected ','"),
        (b'{"1": [7, [1, 2]]} []', "not valid JSON: more follows after the end"),
        (b'{"1": [7, [1, 2]], "\xff": 1}', "is not UTF-8 text"),
        (json.dumps({"1": [7, [1, 2]]}).encode("utf-16"), "is UTF-16 text"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    with bounded_memory(16):
        assert said in refused(tmp_path, data)


@pytest.mark.parametrize(
    "name",
    [
        *("asap-xml", "imagescope-xml", "ndpa", "tiatoolbox-db"),
        *("grand-challenge-json", "cellvit-json", "hovernext-json", "hovernext-tsv"),
    ],
)
def test_no_reader_takes_what_is_no_points_file(tmp_path: Path, name: str) -> None:
    for path in hostile_files(tmp_path).values():
        with bounded_memory(32):
            refusal(path, points_format=name)


FUZZED = {
    "grand-challenge-json": [made.grand_challenge([in_mm(10, 20, probability=0.5), in_mm(30, 40)])],
    "cellvit-json": [made.cellvit([made.cell(10, 20, 1), made.cell(30, 40, 3)], TYPES)],
    "hovernext-json": [made.hovernext_nuclei([(7, 10.0, 20.0), (3, 30.0, 40.0)])],
    "hovernext-tsv": [made.hovernext_table([(10.0, 20.0), (30.0, 40.0)])],
    "tiatoolbox-db": [gzip.decompress(STORE.read_bytes())],
}


@pytest.mark.parametrize("n", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", FUZZED)
def test_whatever_the_bytes_points_or_one_line(tmp_path: Path, name: str, n: int) -> None:
    fuzz(tmp_path / "points", FUZZED[name], n=n, points_format=name)
