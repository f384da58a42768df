"""The QuPath checker itself: it accepts what QuPath wrote and catches each rule broken once."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.qupath_checker import check_qupath_geojson

Feature = dict[str, Any]

GOOD: Feature = {
    "type": "Feature",
    "id": "3f2b6c1e-8a77-4d0e-9b52-0c6f1a2b3c4d",
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[4975, 434], [5025, 434], [5025, 484], [4975, 484], [4975, 434]]],
    },
    "properties": {
        "objectType": "detection",
        "name": "MF-000017",
        "classification": {"name": "AMF", "color": [215, 48, 39]},
        "isLocked": False,
        "measurements": {"P(atypical)": 0.8731, "Review rank": 4},
        "metadata": {"source": "dets.csv:17"},
    },
}


def _set(*keys: str, to: Any) -> Callable[[Feature], None]:
    def change(feature: Feature) -> None:
        holder = feature
        for key in keys[:-1]:
            holder = holder[key]
        holder[keys[-1]] = to

    return change


def _remove(*keys: str) -> Callable[[Feature], None]:
    def change(feature: Feature) -> None:
        holder = feature
        for key in keys[:-1]:
            holder = holder[key]
        del holder[keys[-1]]

    return change


def _ring(*points: tuple[float, float]) -> Callable[[Feature], None]:
    return _set("geometry", "coordinates", to=[[list(point) for point in points]])


NARROW = ((0, 0), (10, 0), (10, 10), (5.001, 0.004), (5, 10), (0, 10), (0, 0))
BAD: dict[str, tuple[Callable[[Feature], None], str]] = {
    "no feature": (_set("type", to="Polygon"), "not a Feature"),
    "no id": (_remove("id"), "no UUID"),
    "counted id": (_set("id", to="detection_0"), "no UUID"),
    "hex id": (_set("id", to="3f2b6c1e8a774d0e9b520c6f"), "no UUID"),
    "objectType beside properties": (_set("objectType", to="detection"), "beside properties is dropped"),
    "no objectType": (_remove("properties", "objectType"), "becomes an annotation"),
    "unknown objectType": (_set("properties", "objectType", to="point"), "becomes an annotation"),
    "no properties": (_set("properties", to=None), "properties is no object"),
    "no geometry": (_set("geometry", to=None), "is not read"),
    "collection": (_set("geometry", to={"type": "GeometryCollection", "geometries": []}), "is not read"),
    "open ring": (_ring((0, 0), (9, 0), (9, 9), (0, 9)), "are open"),
    "three positions": (_ring((0, 0), (9, 0), (0, 0)), "are open"),
    "bow tie": (_ring((0, 0), (9, 9), (9, 0), (0, 9), (0, 0)), "invalid as written"),
    "thin after rounding": (_ring(*NARROW), "invalid rounded to 0.01 px"),
    "no coordinates": (_set("geometry", "coordinates", to=[]), "missing or empty"),
    "text coordinate": (
        _set("geometry", "coordinates", to=[[[0, 0], [9, "0"], [9, 9], [0, 0]]]),
        "not made of two finite numbers",
    ),
    "flat ring": (_set("geometry", "coordinates", to=[[0, 0], [9, 0], [9, 9], [0, 0]]), "missing or empty"),
    "plane": (_set("geometry", "plane", to={"z": 0.5}), "whole numbers"),
    "ellipse": (_set("geometry", "isEllipse", to="yes"), "isEllipse"),
    "nucleus of a detection": (_set("nucleusGeometry", to=GOOD["geometry"]), "belongs to cells"),
    "class without colour": (_remove("properties", "classification", "color"), "stops the import"),
    "null colour": (_set("properties", "classification", "color", to=None), "stops the import"),
    "two-part colour": (_set("properties", "classification", "color", to=[1, 2]), "stops the import"),
    "real colour": (_set("properties", "classification", "color", to=[0.5, 1, 2]), "stops the import"),
    "colour too large": (_set("properties", "classification", "color", to=[256, 1, 2]), "stops the import"),
    "class number": (_set("properties", "classification", to=3), "neither null, text nor object"),
    "class without name": (_remove("properties", "classification", "name"), "neither name nor names"),
    "object colour": (_set("properties", "color", to=[1, 2, 3, 4]), "color is neither"),
    "text measurement": (_set("properties", "measurements", "P(atypical)", to="high"), "not a finite number"),
    "null measurement": (_set("properties", "measurements", "P(atypical)", to=None), "not a finite number"),
    "true measurement": (_set("properties", "measurements", "P(atypical)", to=True), "not a finite number"),
    "list of measurements": (_set("properties", "measurements", to=[{"name": "a", "value": 1}]), "not an object"),
    "nameless measurement": (_set("properties", "measurements", to={"": 1}), "has no name"),
    "number in metadata": (_set("properties", "metadata", "row", to=17), "not text"),
    "metadata list": (_set("properties", "metadata", to=["a"]), "metadata is no object"),
    "unknown property": (_set("properties", "probability", to=0.9), "is dropped"),
    "name": (_set("properties", "name", to=17), "name is no text"),
    "lock": (_set("properties", "isLocked", to="no"), "isLocked"),
    "children": (_set("childObjects", to={}), "childObjects is not a list"),
    "bad child": (_set("childObjects", to=[{"type": "Polygon"}]), "not a Feature"),
    "child with its parent's id": (_set("childObjects", to=[GOOD]), "stands twice"),
}


def _write(path: Path, *features: Feature) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def test_a_good_file_has_no_problems(tmp_path: Path) -> None:
    assert check_qupath_geojson(_write(tmp_path / "good.geojson", GOOD)) == []


@pytest.mark.parametrize("case", BAD)
def test_each_rule_is_caught(case: str, tmp_path: Path) -> None:
    change, message = BAD[case]
    feature = copy.deepcopy(GOOD)
    change(feature)
    problems = check_qupath_geojson(_write(tmp_path / "bad.geojson", feature))
    assert any(message in problem for problem in problems), problems


def test_an_id_that_stands_twice_is_caught(tmp_path: Path) -> None:
    problems = check_qupath_geojson(_write(tmp_path / "bad.geojson", GOOD, GOOD))
    assert problems == [f"feature 1: id {GOOD['id']} stands twice"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"FeatureCollection","features":[NaN]}', "NaN"),
        ('{"type":"FeatureCollection","features":[-Infinity]}', "Infinity"),
        ('{"type":"FeatureCollection","features":[', "not readable"),
        ('{"type":"FeatureCollection","type":"Feature"}', "repeated keys"),
        ('{"type":"Feature"}', "not a FeatureCollection"),
        ("[]", "not a FeatureCollection"),
        ('{"type":"FeatureCollection"}', "features is not a list"),
    ],
)
def test_broken_documents_are_caught(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text, encoding="utf-8")
    problems = check_qupath_geojson(path)
    assert len(problems) == 1
    assert message in problems[0]


def test_other_encodings_and_suffixes_are_caught(tmp_path: Path) -> None:
    latin = tmp_path / "latin.geojson"
    latin.write_bytes(b'{"type":"FeatureCollection","features":["\xb5m"]}')
    assert "UTF-8" in check_qupath_geojson(latin)[0]
    assert "swallowed" in check_qupath_geojson(_write(tmp_path / "a.zip", GOOD))[0]
    assert "not readable" in check_qupath_geojson(_write(tmp_path / "plain.geojson.gz", GOOD))[0]
    packed = tmp_path / "good.geojson.gz"
    packed.write_bytes(gzip.compress(_write(tmp_path / "good.geojson", GOOD).read_bytes()))
    assert check_qupath_geojson(packed) == []


def test_a_file_that_qupath_wrote_has_no_problems(shared_data: Path) -> None:
    path = shared_data / "annotations" / "qupath05_export.geojson"
    assert len(json.loads(path.read_text(encoding="utf-8"))["features"]) == 3
    assert check_qupath_geojson(path) == []
