"""What the columns of a table may be called, and that units are never mixed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.points_fuzz import MRXS, SLIDE, positions, refusal
from wsiamf.candidates import Candidates, read_candidates
from wsiamf.candidates.columns import find_columns


def written(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_bytes(text.encode())
    return path


def read(folder: Path, text: str) -> Candidates:
    return read_candidates(written(folder, text), SLIDE)


@pytest.mark.parametrize(
    "header",
    [
        *("x,y", "X,Y", "x_px,y_px", "X [px],Y [px]", "cx,cy", "coordinateX,coordinateY", "coordinate_x,coordinate_y"),
        *(
            "centroid_x,centroid_y",
            "x_centroid,y_centroid",
            "Centroid X,Centroid Y",
            "Center X (pixels),Center Y (pixels)",
        ),
        *(
            "centre_x,centre_y",
            "centerX,centerY",
            "pos_x,pos_y",
            "x_level0,y_level0",
            "point_x,point_y",
            "centroid-1,centroid-0",
        ),
    ],
)
def test_names_of_px(tmp_path: Path, header: str) -> None:
    found = read(tmp_path, f"{header}\n100,200\n")
    assert (positions(found), found.points_frame) == ([(100.0, 200.0)], "level0")


@pytest.mark.parametrize(
    "header",
    [
        *("x_um,y_um", "X µm,Y µm", "x (\u03bcm),y (\u03bcm)", "x_micron,y_micron", "Centroid X [um],Centroid Y [um]"),
        *("centroid_x_um,centroid_y_um", "x_micrometers,y_micrometers"),
    ],
)
def test_names_of_um(tmp_path: Path, header: str) -> None:
    assert positions(read(tmp_path, f"{header}\n25,50\n")) == [(100.0, 200.0)]


@pytest.mark.parametrize("header", ["x_mm,y_mm", "X [mm],Y [mm]", "centroid_x_mm,centroid_y_mm"])
def test_names_of_mm(tmp_path: Path, header: str) -> None:
    np.testing.assert_allclose(positions(read(tmp_path, f"{header}\n0.025,0.05\n")), [(100.0, 200.0)], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y,centroid_x,centroid_y\n1,2,3,4\n", "columns 'x' and 'centroid_x' could both be x; remove or rename"),
        ("cx,cy,centre_x,centre_y\n1,2,3,4\n", "columns 'cx' and 'centre_x' could both be x"),
        ("x_um,X [µm],y_um\n1,2,3\n", "columns 'x_um' and 'X [µm]' could both be x_um"),
        ("x_um,y\n1,2\n", "x is in um (x_um), but y is in px (y); give both in the same unit"),
        ("x_mm,y_um\n1,2\n", "x is in mm (x_mm), but y is in um (y_um)"),
        ("x1,y1,x2,y2\n1,2,3,4\n", "has no coordinates; its columns are 'x1', 'y1', 'x2', 'y2'"),
        ("x,y,x_um,y_um\n100,200,50,25\n", "row 1: x is 100 px but x_um is 50 um, 200 px at 0.25 um/px"),
        ("x,y,x_mm,y_mm\n100,200,0.025,0.05\n9,9,9,9\n", "row 2: x is 9 px but x_mm is 9 mm"),
        ("x_um,y_um,x_mm,y_mm\n25,50,0.025,0.05\n25,50,25,50\n", "row 2: x_um is 25 um but x_mm is 25 mm"),
    ],
)
def test_what_could_be_two_things_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(written(tmp_path, text))


def test_units_that_agree_are_fine(tmp_path: Path) -> None:
    text = "x_mm,y_mm,x_um,y_um,x,y\n0.025,0.05,25,50,100,200\n"
    assert positions(read(tmp_path, text)) == [(100.0, 200.0)]


def test_ids_scores_classes_slides_and_experts_by_other_names(tmp_path: Path) -> None:
    text = (
        "candidate_id,cx,cy,Probability,Class,Image_name,expert1,expert_Ann B,experts\n"
        "q,100,200,0.5,NMF,case_1.svs,AMF,normal,3\nr,300,400,0.25,,case_1.svs,,no idea,3\ns,1,1,1,,other.svs,AMF,AMF,3\n"
    )
    found = read(tmp_path, text)
    assert found.table["candidate_id"].tolist() == ["q", "r"]
    assert found.table["score"].tolist() == [0.5, 0.25]
    assert found.table["source_label"].tolist() == ["NMF", None]
    assert found.votes == {"expert1": ("AMF", None), "Ann B": ("NMF", None)}


def test_the_first_of_several_class_columns_is_used(tmp_path: Path) -> None:
    assert read(tmp_path, "x,y,class,label\n1,2,NMF,AMF\n").table["source_label"].tolist() == ["AMF"]


def test_tabs_and_parquet_know_the_same_names(tmp_path: Path) -> None:
    tsv = tmp_path / "points.tsv"
    tsv.write_text("Centroid X um\tCentroid Y um\tprob\n25\t50\t0.5\n", "utf-8")
    found = read_candidates(tsv, SLIDE, points_format="csv")
    parquet = tmp_path / "points.parquet"
    pd.DataFrame({"Centroid X um": [25.0], "Centroid Y um": [50.0], "prob": [0.5]}).to_parquet(parquet)
    other = read_candidates(parquet, SLIDE)
    assert positions(found) == positions(other) == [(100.0, 200.0)]
    assert found.table["score"].tolist() == other.table["score"].tolist() == [0.5]


def test_um_in_qupaths_frame(tmp_path: Path) -> None:
    path = written(tmp_path, "x_mm,y_mm\n0.25,0.5\n")
    assert positions(read_candidates(path, MRXS, points_frame="qupath")) == [(4000.0, 4000.0)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_header_gives_places_or_an_error(header: list[str]) -> None:
    try:
        places = find_columns(header, Path("points.csv"))
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert all(0 <= place < len(header) for place in places.values())
