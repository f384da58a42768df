"""GeoJSON for QuPath: the strict checker passes, and every number stands where QuPath looks for it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from tests.made_predictions import EXPERTS, FINGERPRINT, FRAME, MODEL, made_table
from tests.qupath_checker import check_qupath_geojson, read_strict_json
from wsiamf.errors import OutputError
from wsiamf.export.qupath import write_detections, write_review
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.predictions import read_predictions, write_predictions
from wsiamf.statuses import OK

HOTSPOTS: list[dict[str, Any]] = [
    {
        "rank": 1,
        "x_qupath": -120.456,
        "y_qupath": 300.0,
        "width_px": 7110.6,
        "height_px": 5332.9,
        "n": 23,
        "n_amf": 5,
        "n_nmf": 18,
        "area_mm2": 2.37,
        "densities": {"ignored": None},
    },
    {
        "rank": 2,
        "x_qupath": 20_000.0,
        "y_qupath": 9_000.25,
        "width_px": 5332.9,
        "height_px": 7110.6,
        "n": 9,
        "n_amf": 0,
        "n_nmf": 9,
        "area_mm2": 2.37,
    },
]


def _features(path: Path) -> list[dict[str, Any]]:
    assert check_qupath_geojson(path) == []
    features: list[dict[str, Any]] = read_strict_json(path)["features"]
    return features


def _detections(folder: Path, table: pd.DataFrame, name: str = "detections.geojson") -> Path:
    write_detections(folder / name, table, frame=FRAME, model=MODEL, experts=EXPERTS)
    return folder / name


def _review(folder: Path, table: pd.DataFrame, hotspots: list[dict[str, Any]] | None = None) -> Path:
    path = folder / "review.geojson"
    write_review(path, table, hotspots, frame=FRAME, fingerprint=FINGERPRINT, model=MODEL, experts=EXPERTS)
    return path


def test_every_row_that_counts_is_a_detection_and_no_other(tmp_path: Path) -> None:
    table = made_table()
    features = _features(_detections(tmp_path, table))
    counted = table[table["status"] == OK]
    assert len(features) == 10
    assert [feature["id"] for feature in features] == counted["uuid"].tolist()
    assert {feature["properties"]["objectType"] for feature in features} == {"detection"}
    names = Counter(feature["properties"]["classification"]["name"] for feature in features)
    assert names == Counter(counted["label"])


def test_a_detection_holds_the_row(tmp_path: Path) -> None:
    table = made_table()
    table.loc[0, ["x_qupath", "y_qupath"]] = [5000.126, 459.0]
    table.loc[0, ["p_atypical", "p_hard", "score"]] = [0.87314, 0.61, 0.955555]
    table.loc[0, ["p_atypical_expert_1", "p_atypical_expert_2", "p_atypical_expert_3"]] = [0.9, 0.68, 0.755]
    table.loc[0, "label"] = "AMF"
    table.loc[0, "review_rank"] = 4
    assert _features(_detections(tmp_path, table))[0] == {
        "type": "Feature",
        "id": table.loc[0, "uuid"],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[4975.13, 434], [5025.13, 434], [5025.13, 484], [4975.13, 484], [4975.13, 434]]],
        },
        "properties": {
            "objectType": "detection",
            "name": "MF-000001",
            "classification": {"name": "AMF", "color": [215, 48, 39]},
            "measurements": {
                "P(atypical)": 0.8731,
                "P(hard)": 0.61,
                "Expert spread": 0.22,
                "Detector score": 0.9556,
                "Review rank": 4,
            },
            "metadata": {
                "candidate_id": "MF-000001",
                "model": MODEL,
                "source_row": "2",
                "experts": "ami-br/1 0.90, ami-br/2 0.68, ami-br/3 0.76",
            },
        },
    }


def test_what_is_null_is_left_out(tmp_path: Path) -> None:
    table = made_table(n_experts=1)
    table["score"], table["p_hard"], table["review_rank"] = None, float("nan"), pd.NA
    path = tmp_path / "detections.geojson"
    write_detections(path, table, frame=FRAME, model=MODEL, experts=EXPERTS[:1])
    assert {tuple(feature["properties"]["measurements"]) for feature in _features(path)} == {("P(atypical)",)}


def test_a_table_read_back_gives_the_same_files(tmp_path: Path) -> None:
    table = made_table()
    write_predictions(table, tmp_path, n_experts=3)
    fresh = _detections(tmp_path, table).read_bytes(), _review(tmp_path, table, HOTSPOTS).read_bytes()
    again = read_predictions(tmp_path)
    assert (
        again["hard"].dtype == object
    )  # pandas' way of holding a boolean with nulls: another one than the made table's
    assert (_detections(tmp_path, again).read_bytes(), _review(tmp_path, again, HOTSPOTS).read_bytes()) == fresh


def test_boxes_are_not_clipped_at_the_edge(tmp_path: Path) -> None:
    table = made_table()
    table.loc[0, ["x_qupath", "y_qupath"]] = [0.0, 3.0]
    box = shape(_features(_detections(tmp_path, table))[0]["geometry"])
    assert box.bounds == (-25.0, -22.0, 25.0, 28.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=st.floats(-5_000, 300_000, allow_subnormal=False),
    y=st.floats(-5_000, 300_000, allow_subnormal=False),
    mpp=st.floats(0.05, 20.0),
)
def test_any_box_is_valid_centred_and_of_its_size(tmp_path: Path, x: float, y: float, mpp: float) -> None:
    table = made_table().iloc[:1].copy()
    table[["x_qupath", "y_qupath"]] = [[x, y]]
    frame = SlideFrame(400_000, 400_000, mpp, Bounds(0, 0, 400_000, 400_000))
    path = tmp_path / "one.geojson"
    write_detections(path, table, frame=frame, model=MODEL, experts=EXPERTS)
    (feature,) = _features(path)
    left, top, right, bottom = shape(feature["geometry"]).bounds
    assert (left + right) / 2 == pytest.approx(x, abs=0.011)
    assert (top + bottom) / 2 == pytest.approx(y, abs=0.011)
    assert right - left == pytest.approx(12.5 / mpp, abs=0.011)
    assert bottom - top == pytest.approx(12.5 / mpp, abs=0.011)


def test_review_holds_hotspots_and_hard_cases_by_rank(tmp_path: Path) -> None:
    table = made_table(40)
    features = _features(_review(tmp_path, table, HOTSPOTS))
    hard = table[(table["status"] == OK) & (table["p_hard"] >= 0.5)].sort_values("review_rank")
    assert [feature["properties"]["classification"]["name"] for feature in features[:2]] == ["Hotspot", "Hotspot"]
    cases = features[2:]
    assert [case["properties"]["metadata"]["candidate_id"] for case in cases] == hard["candidate_id"].tolist()
    assert [case["properties"]["measurements"]["Review rank"] for case in cases] == hard["review_rank"].tolist()
    assert {feature["properties"]["objectType"] for feature in features} == {"annotation"}


def test_a_hard_case_says_why(tmp_path: Path) -> None:
    table = made_table()
    table["hard"] = False
    table.loc[1, "hard"] = True
    table.loc[1, ["x_qupath", "y_qupath"]] = [1000.0, 2000.0]
    table.loc[1, "review_reason"] = "experts likely to disagree (0.44); inside a hotspot"
    (case,) = _features(_review(tmp_path, table))
    properties = case["properties"]
    assert properties["name"] == "experts likely to disagree (0.44)"
    assert properties["metadata"]["reason"] == "experts likely to disagree (0.44); inside a hotspot"
    assert properties["metadata"]["label"] == table.loc[1, "label"]
    assert properties["classification"] == {"name": "Hard case", "color": [254, 153, 41]}
    assert properties["isLocked"] is False
    assert shape(case["geometry"]).bounds == (950.0, 1950.0, 1050.0, 2050.0)  # 25 um at 0.25 um/px


def test_a_hotspot_is_its_rectangle_and_counts(tmp_path: Path) -> None:
    hotspot = _features(_review(tmp_path, made_table(), HOTSPOTS))[0]
    assert shape(hotspot["geometry"]).bounds == (-120.46, 300.0, 6990.14, 5632.9)
    assert hotspot["properties"]["name"] == "Hotspot 1: 23 MF, 5 AMF in 2.37 mm²"
    assert hotspot["properties"]["measurements"] == {
        "Hotspot rank": 1,
        "Review rank": 1,
        "MF": 23,
        "AMF": 5,
        "NMF": 18,
        "Area mm^2": 2.37,
        "MF per mm^2": 9.7046,
    }
    assert hotspot["properties"]["isLocked"] is True
    assert hotspot["properties"]["metadata"]["model"] == MODEL


def test_the_two_files_share_no_id(tmp_path: Path) -> None:
    table = made_table()
    table["hard"] = table["status"] == OK
    detections = {feature["id"] for feature in _features(_detections(tmp_path, table))}
    review = {feature["id"] for feature in _features(_review(tmp_path, table, HOTSPOTS))}
    assert len(detections) == 10
    assert len(review) == 12
    assert not detections & review


def test_a_hard_case_keeps_its_id_when_another_at_its_place_turns_easy(tmp_path: Path) -> None:
    table = made_table()
    places = ["x", "y", "x_um", "y_um", "x_qupath", "y_qupath"]
    table.loc[1, places] = table.loc[0, places].to_numpy()
    table["hard"] = False
    table.loc[[0, 1], "hard"] = True
    both = {case["properties"]["metadata"]["candidate_id"]: case["id"] for case in _features(_review(tmp_path, table))}
    table.loc[0, "hard"] = False
    (left,) = _features(_review(tmp_path, table))
    assert left["id"] == both["MF-000002"]


def test_files_without_objects_are_valid(tmp_path: Path) -> None:
    nothing = made_table().iloc[:0]
    assert _features(_detections(tmp_path, nothing)) == []
    assert _features(_review(tmp_path, nothing, None)) == []


def test_gzip_holds_the_same_bytes_without_time_or_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made_table()
    plain = _detections(tmp_path, table).read_bytes()
    packed = _detections(tmp_path, table, "detections.geojson.gz").read_bytes()
    assert gzip.decompress(packed) == plain
    assert packed[3] == 0  # no flags, hence no name
    assert packed[4:8] == bytes(4)  # mtime
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert _detections(tmp_path, table, "again.geojson.gz").read_bytes() == packed
    assert len(_features(tmp_path / "again.geojson.gz")) == 10


def test_one_feature_a_line_and_no_blank_between_tokens(tmp_path: Path) -> None:
    lines = _detections(tmp_path, made_table()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12
    feature = json.loads(lines[1].removesuffix(","))
    assert lines[1].removesuffix(",") == json.dumps(feature, separators=(",", ":"))


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"detections\.geojson"):
        _detections(tmp_path / "absent", made_table())
