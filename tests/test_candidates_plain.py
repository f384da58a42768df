"""Plain points, CSV and Parquet: what is read, what is refused, and in which words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely

from wsiamf.candidates import COLUMNS, FORMATS, Candidates, read_candidates
from wsiamf.errors import CandidateError, ConfigError, PointsNotFoundError
from wsiamf.geometry import Bounds, SlideFrame


@dataclass(frozen=True)
class PointsSlide:
    name: str
    frame: SlideFrame


SLIDE = PointsSlide("case_1.svs", SlideFrame(2000, 1000, 0.25, Bounds(0, 0, 2000, 1000)))
MRXS = PointsSlide("case_1.mrxs", SlideFrame(2000, 1000, 0.25, Bounds(300, 200, 1000, 500)))


def read(folder: Path, text: str | bytes, slide: PointsSlide = SLIDE, **options: Any) -> Candidates:
    path = folder / "points.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_candidates(path, slide, **options)


def refusal(folder: Path, text: str | bytes, slide: PointsSlide = SLIDE, **options: Any) -> str:
    with pytest.raises(CandidateError) as caught:
        read(folder, text, slide, **options)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'points.csv'}: ")
    assert "\n" not in message
    return message.removeprefix(f"{folder / 'points.csv'}: ")


def positions(candidates: Candidates) -> list[tuple[float, float]]:
    return list(zip(candidates.table["x"], candidates.table["y"], strict=True))


def test_the_table_has_the_stated_columns_and_values(tmp_path: Path) -> None:
    text = "id,x,y,score,label\n007,10.5,20,0.9,Mitosis\nb,400,500,,something else\nc,700,800,0.5,\n"
    found = read(tmp_path, text)
    assert tuple(found.table.columns) == COLUMNS
    assert found.table.to_dict("list") | {"score": None} == {
        "candidate_id": ["007", "b", "c"],
        "source_row": [1, 2, 3],
        "source_label": ["mitotic figure", "something else", None],
        "x": [10.5, 400.0, 700.0],
        "y": [20.0, 500.0, 800.0],
        "score": None,
        "status": ["ok", "ok", "ok"],
        "duplicate_of": [None, None, None],
        "by_person": [False, False, False],
    }
    np.testing.assert_array_equal(found.table["score"], [0.9, np.nan, 0.5])
    assert (found.format, found.points_frame, found.n_excluded_non_mitotic) == ("csv", "level0", 0)
    assert found.sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n10,20\n300,400\n",
        "x;y\n10;20\n300;400\n",
        "x\ty\n10\t20\n300\t400\n",
        "x,y\r\n10,20\r\n300,400\r\n",
        "x,y\r10,20\r300,400",
        "\ufeffx,y\n10,20\n300,400",
        '\ufeff"x","y"\n"10","20"\n"300","400"\n',
        " X , Y \n 10 , 20 \n 300 , 400 \n",
        "\n\nx,y\n\n10,20\n\n300,400\n\n",
        "note,y,x\n\"a, b\",20,10\n'',400,300\n",
        "x,y\n1e1,+20.0\n3E2,400,,\n",
        "x_um,y_um\n2.5,5\n75,100\n",
        "x,y,x_um,y_um\n10,20,2.5,5\n300,400,75.0,100.1\n",
    ],
)
def test_every_way_to_write_the_same_points(tmp_path: Path, text: str) -> None:
    assert positions(read(tmp_path, text)) == [(10.0, 20.0), (300.0, 400.0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("a,b\n1,2\n", "its columns are 'a', 'b'; expected x and y (level-0 px), or x_um and y_um"),
        ("10,20\n30,40\n", "its columns are '10', '20'; expected x and y"),
        ("x,y_um\n1,2\n", "has no coordinates"),
        ("x,y,X\n1,2,3\n", "two columns 'x'"),
        ("x,y\n1,2\n3,oops\n", "1 row cannot be used (row 2: y is 'oops', not a number)"),
        ("x,y\n1,2\n3,\n", "row 2: y is missing"),
        ("x,y\n1,2\n3\n", "row 2: y is missing"),
        ("x,y\nnan,2\n", "row 1: x is missing"),
        ("x,y\ninf,2\n", "row 1: x is infinite"),
        ("x,y\n1,-1e400\n", "row 1: y is infinite"),
        ("x,y\n1_000,2\n", "row 1: x is '1_000', not a number"),
        ("x;y\n12,5;3\n", "row 1: x is '12,5', not a number (write a point, not a comma)"),
        ("x,y\n12,5,3,5\n", "row 1 has 4 cells, the header 2"),
        ("x,y\n" + "9" * 400 + ",2\n", "row 1: x is infinite"),
        ("x,y\n" + "9" * 30 + ",2\n", "row 1: (1e+30, 2) lies off the slide (2000 x 1000 px)"),
        ("x,y\n2025.1,2\n", "row 1: (2025.1, 2) lies off the slide"),
        ("x,y\n5,-25.1\n", "row 1: (5, -25.1) lies off the slide"),
        ("x,y\n5,5\nq,1\nr,1\ns,1\nt,1\n", "4 rows cannot be used (row 2: x is 'q', not a number; row 3: x"),
        ("x,y,score\n1,2,high\n", "row 1: score is 'high', not a number"),
        ("x,y,score\n1,2,inf\n", "row 1: score is infinite"),
        ("x,y,x_um,y_um\n100,20,25,5\n100,20,50,5\n", "row 2: x is 100 px but x_um is 50 um, 200 px at 0.25 um/px"),
        ("id,x,y\na,1,2\nb,3,4\na,500,6\n", "rows 1 and 3 have the same id 'a'"),
        ("id,x,y\na,1,2\n,3,4\n", "row 2 has no id"),
        ('x,y\n1,2\n3,"4\n5,6\n', "line 4: unexpected end of data"),
        ("x,y,note\n1,2,Müller\n".encode("latin-1"), "line 2 is not UTF-8 (byte 0xfc)"),
        ("x,y\n1,2\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not a points file that wsiamf knows; expected one of parquet, "),
        ('{"type": "something", "points": []}', "not a points file that wsiamf knows"),
        ("<?xml version='1.0'?><html/>", "not a points file that wsiamf knows"),
        (b"PAR1 and then something else", "not a readable Parquet file"),
        ("x,y,slide\n1,2,case_10.svs\n3,4,other.svs\n", "the nearest of its 2 names is 'case_10.svs'"),
        ("x,y,image\n1,2,a/case_1.svs\n3,4,b/case_1.svs\n", "'a/case_1.svs' and 'b/case_1.svs' could both be slide"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_the_remedy_for_bad_points_is_named_and_works(tmp_path: Path) -> None:
    text = "x,y\n10,20\nabc,20\n5000,20\ninf,1\n"
    assert "--skip-bad-points" in refusal(tmp_path, text)
    found = read(tmp_path, text, skip_bad_points=True)
    assert found.table["status"].tolist() == ["ok", "bad_point", "bad_point", "bad_point"]
    np.testing.assert_array_equal(found.table["x"], [10, np.nan, 5000, np.nan])
    np.testing.assert_array_equal(found.table["y"], [20, np.nan, 20, np.nan])
    assert found.notes[0].startswith("3 rows set aside as unusable: row 2: x is 'abc', not a number; row 3: (5000, 20)")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PointsNotFoundError, match=r"gone\.csv: no such points file"):
        read_candidates(tmp_path / "gone.csv", SLIDE)
    with pytest.raises(CandidateError, match="is not a file"):
        read_candidates(tmp_path, SLIDE)


@pytest.mark.parametrize("text", ["x,y\n", "x,y", "id,x_um,y_um,score,label,slide\n"])
def test_a_header_without_rows_is_no_candidates(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text, within=shapely.box(0, 0, 10, 10))
    assert len(found.table) == 0
    assert found.notes == ()
    assert found.table[["x", "y", "score"]].dtypes.tolist() == [np.float64] * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"points_format": "asap"}, "--points-format asap: not known; choose one of " + ", ".join(FORMATS)),
        ({"points_frame": "level1"}, "--points-frame level1: not known"),
        ({"min_score": float("nan")}, "--min-score nan"),
        ({"merge_um": -1.0}, "--merge-um -1.0"),
        ({"merge_um": float("inf")}, "--merge-um inf"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "x,y\n1,2\n", **options)
    assert said in str(caught.value)


def test_the_format_can_be_forced(tmp_path: Path) -> None:
    text = "filename,coordinateX,coordinateY,majority,label\ncase_1.svs,1,2,NMF,AMF\n"
    found = read(tmp_path, text)
    assert (found.table["source_label"].tolist(), found.format) == (["NMF"], "midog25-csv")
    forced = read(tmp_path, text, points_format="csv")
    assert (forced.table["source_label"].tolist(), forced.format) == (["AMF"], "csv")
    assert positions(forced) == positions(found) == [(1.0, 2.0)]
    assert "not a readable Parquet file" in refusal(tmp_path, text, points_format="parquet")


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("slide", "case_1.svs"),
        ("filename", "case_1"),
        ("File_Name", r"C:\scans\case_1.svs"),
        ("image", "/data/case_1.ome.tiff"),
    ],
)
def test_rows_are_chosen_by_the_slides_name(tmp_path: Path, column: str, name: str) -> None:
    text = f"id,x,y,{column}\na,bad,2,case_2.svs\nb,3,4,{name}\na,5,6,case_10.svs\nc,500,600,{name}\n"
    found = read(tmp_path, text)
    assert found.table["source_row"].tolist() == [2, 4]  # faults and repeated ids of other slides' rows do not matter
    assert found.table["candidate_id"].tolist() == ["b", "c"]


def test_a_base_name_goes_before_a_stem_and_dots_in_names_are_kept(tmp_path: Path) -> None:
    both = "x,y,slide\n1,2,case_1.ndpi\n3,4,case_1.svs\n"
    assert positions(read(tmp_path, both)) == [(3.0, 4.0)]
    dotted = PointsSlide("TCGA-1.22.svs", SLIDE.frame)
    assert positions(read(tmp_path, "x,y,slide\n1,2,TCGA-1.22\n3,4,TCGA-1\n", dotted)) == [(1.0, 2.0)]


def test_rows_that_name_no_slide_are_told_about(tmp_path: Path) -> None:
    found = read(tmp_path, "x,y,slide\n1,2,case_1.svs\n3,4,\n")
    assert positions(found) == [(1.0, 2.0)]
    assert found.notes == ("1 row without a slide name in column 'slide' left out",)
    assert len(read(tmp_path, "x,y,slide\n1,2,\n300,4,\n").table) == 2


def test_non_mitotic_rows_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    text = "x,y,label\n1,2,mitotic figure\n300,4,hard negative\nbad,4,Non-mitotic\n500,4,AMF\n"
    found = read(tmp_path, text)
    assert found.table["source_row"].tolist() == [1, 4]
    assert found.n_excluded_non_mitotic == 2
    assert found.notes == ("2 rows labelled non-mitotic left out",)
    asked = read(tmp_path, text, include_non_mitotic=True, skip_bad_points=True)
    assert asked.table["status"].tolist() == ["ok", "non_mitotic", "bad_point", "ok"]
    assert asked.table["source_label"].tolist() == ["mitotic figure", "non-mitotic", "non-mitotic", "AMF"]
    assert asked.n_excluded_non_mitotic == 0


def test_labels_are_a_persons_only_without_scores(tmp_path: Path) -> None:
    rows = [("AMF", "0.5"), ("nmf", "0.5"), ("Mitosis", "0.5"), ("cell", "0.5"), ("", "0.5")]
    plain = "x,y,label\n" + "".join(f"{10 + i},10,{label}\n" for i, (label, _) in enumerate(rows))
    found = read(tmp_path, plain)
    assert found.table["by_person"].tolist() == [True, True, True, False, False]
    assert found.table["status"].tolist() == ["ok", "ok", "ok", "ok", "duplicate"]
    assert found.table["duplicate_of"].tolist() == [None, None, None, None, "4"]
    scored = "x,y,label,score\n" + "".join(f"{10 + i},10,{a},{b}\n" for i, (a, b) in enumerate(rows))
    detected = read(tmp_path, scored)
    assert not detected.table["by_person"].any()
    assert detected.table["status"].tolist() == ["ok"] + ["duplicate"] * 4
    assert "labels that wsiamf does not know count as candidates: 'cell' (1)" in detected.notes


def test_scores_and_regions_set_rows_aside_before_merging(tmp_path: Path) -> None:
    text = "x,y,score\n100,100,0.2\n101,100,0.9\n102,100,0.5\n103,100,\n900,900,0.1\n"
    found = read(tmp_path, text, min_score=0.5, within=shapely.box(102, 0, 200, 200))
    assert found.table["status"].tolist() == ["below_min_score", "outside_roi", "ok", "duplicate", "below_min_score"]
    assert found.table["duplicate_of"].tolist() == [None, None, None, "3", None]
    assert found.notes == (
        "2 rows with a score below 0.5 not counted",
        "1 row outside the regions of interest not counted",
        "1 row closer than 7.5 um to a better detection not counted",
        "1 row without a score counted whatever the least score",
    )
    whole = read(tmp_path, text)
    assert any("scores run from 0.1 to 0.9" in note for note in whole.notes)
    assert "has no scores, so --min-score 0.5 cannot be applied" in refusal(tmp_path, "x,y\n1,2\n", min_score=0.5)


def test_the_merging_distance_is_in_um_and_strict(tmp_path: Path) -> None:
    text = "x,y\n100,100\n130,100\n159.9,100\n"  # 30 px are 7.5 um
    assert read(tmp_path, text).table["duplicate_of"].tolist() == [None, None, "2"]
    assert read(tmp_path, text, merge_um=0).table["status"].tolist() == ["ok"] * 3
    assert read(tmp_path, text, merge_um=7.51).table["duplicate_of"].tolist() == [None, "1", None]


def test_points_just_outside_move_to_the_nearest_place_inside(tmp_path: Path) -> None:
    found = read(tmp_path, "x,y\n-25,10\n2025,1000\n500,1025\n-0.0,0\n1999.5,999.5\n", merge_um=0)
    right, bottom = np.nextafter(2000.0, 0.0), np.nextafter(1000.0, 0.0)
    assert positions(found) == [(0.0, 10.0), (right, bottom), (500.0, bottom), (0.0, 0.0), (1999.5, 999.5)]
    assert not np.signbit(found.table["x"]).any()
    assert found.notes == ("3 rows up to 25 px outside the slide moved to its edge",)


def test_qupath_points_are_shifted_by_the_bounds(tmp_path: Path) -> None:
    text = "x,y,x_um,y_um\n10,20,2.5,5\n"
    assert positions(read(tmp_path, text, MRXS)) == [(10.0, 20.0)]
    shifted = read(tmp_path, text, MRXS, points_frame="qupath")
    assert (positions(shifted), shifted.points_frame) == ([(310.0, 220.0)], "qupath")
    um = read(tmp_path, "x_um,y_um\n2.5,5\n", MRXS, points_frame="qupath")
    assert positions(um) == [(310.0, 220.0)]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["007", "7"], ["007", "7"]),
        ([9007199254740993, 2], ["9007199254740993", "2"]),
        ([1.0, 2.0], ["1", "2"]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        ([None, None], ["1", "2"]),
    ],
)
def test_parquet_equals_csv(tmp_path: Path, ids: Any, expected: list[str]) -> None:
    path = tmp_path / "points.parquet"
    columns = {"ID": ids, "X ": [10, 2**20], "y": [20.5, 30.0], "score": [0.5, None], "Slide": "case_1", "other": 1}
    pd.DataFrame(columns).to_parquet(path)
    found = read_candidates(path, SLIDE, skip_bad_points=True)
    assert found.format == "parquet"
    assert found.table["candidate_id"].tolist() == expected
    assert positions(found) == [(10.0, 20.5), (float(2**20), 30.0)]
    assert found.table["status"].tolist() == ["ok", "bad_point"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": [1.0, None], "y": [1.0, 2.0]}, "row 2: x is missing"),
        ({"x": [1.0, np.inf], "y": [1.0, 2.0]}, "row 2: x is infinite"),
        ({"x": ["1", "oops"], "y": [1.0, 2.0]}, "row 2: x is 'oops', not a number"),
        ({"x": [2**64 - 1, 1], "y": [1.0, 2.0]}, "row 1: (1.84467e+19, 1) lies off the slide"),
        ({"x": [[1.0], [2.0]], "y": [1.0, 2.0]}, "column 'x' holds list"),
        ({"a": [1.0]}, "its columns are 'a'; expected x and y"),
    ],
)
def test_bad_parquet(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    path = tmp_path / "points.parquet"
    pd.DataFrame(columns).to_parquet(path)
    with pytest.raises(CandidateError) as caught:
        read_candidates(path, SLIDE)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_hundred_thousand_rows_are_read_as_they_stand(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    side = 60_000
    x, y, score = rng.uniform(0, side, 100_000), rng.uniform(0, side, 100_000), rng.uniform(size=100_000)
    path = tmp_path / "points.csv"
    pd.DataFrame({"x": x, "y": y, "score": score}).to_csv(path, index_label="id")
    slide = PointsSlide("big.svs", SlideFrame(side, side, 0.25, Bounds(0, 0, side, side)))
    found = read_candidates(path, slide)
    np.testing.assert_array_equal(found.table["x"], x)
    np.testing.assert_array_equal(found.table["score"], score)
    assert set(found.table["status"]) == {"ok", "duplicate"}
