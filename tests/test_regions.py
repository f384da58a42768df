"""Region files against areas worked out by hand."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wsiamf.errors import RegionError
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.regions import Region, read_regions

FRAME = SlideFrame(width=4000, height=3000, mpp=0.5, bounds=Bounds(0, 0, 4000, 3000))
MRXS_FRAME = SlideFrame(width=4000, height=3000, mpp=0.5, bounds=Bounds(1000, 500, 2000, 2000))

WriteJson = Callable[[Any], Path]


@pytest.fixture
def write_json(tmp_path: Path) -> WriteJson:
    def write(content: Any) -> Path:
        path = tmp_path / "regions.geojson"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def square(left: float, top: float, side: float) -> dict[str, Any]:
    right, bottom = left + side, top + side
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"type": "Polygon", "coordinates": [ring]}


def feature(geometry: dict[str, Any] | None, classification: Any = None, **properties: Any) -> dict[str, Any]:
    properties = {"objectType": "annotation", "classification": classification, **properties}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def bounds(region: Region) -> tuple[float, ...]:
    return tuple(region.geometry.bounds)


# --- Region


def test_area_is_in_mm2() -> None:
    region = Region(shapely.MultiPolygon([shapely.box(0, 0, 2000, 1000)]), "roi")
    assert region.area_mm2(0.25) == pytest.approx(0.5 * 0.25)  # 500 um x 250 um


def test_boundary_and_corner_count_as_inside() -> None:
    hole = [(40, 40), (60, 40), (60, 60), (40, 60)]
    region = Region(shapely.MultiPolygon([shapely.Polygon([(0, 0), (100, 0), (100, 100), (0, 100)], [hole])]), "roi")
    x, y = [0, 50, 100, 100.01, 50, 40, 50], [0, 20, 50, 50, 50, 50, 41]
    assert region.contains(x, y).tolist() == [True, True, True, False, False, True, False]


def test_contains_keeps_the_shape_and_an_empty_region_contains_nothing() -> None:
    empty = Region(shapely.MultiPolygon(), "tissue")
    assert empty.area_mm2(0.25) == 0
    assert empty.contains(np.zeros((2, 3)), np.zeros((2, 3))).tolist() == [[False] * 3] * 2
    assert empty.contains([], []).shape == (0,)


# --- region files


def test_tumor_without_necrosis(write_json: WriteJson) -> None:
    path = write_json(
        collection(
            feature(square(100, 100, 1000), {"name": "Tumor", "color": [200, 0, 0]}),
            feature(square(200, 200, 100), {"name": "Necrosis", "color": [50, 50, 50]}),
            feature(square(1500, 100, 10), {"names": ["Tumor"], "color": [200, 0, 0]}),
        )
    )
    region = read_regions(path, FRAME)
    assert region.kind == "roi"
    assert region.notes == ()
    assert region.geometry.area == 1000**2 - 100**2 + 10**2
    assert region.area_mm2(FRAME.mpp) == pytest.approx((1000**2 - 100**2 + 10**2) * 0.25e-6)
    assert region.contains([150, 250, 1505, 1600], [150, 250, 105, 105]).tolist() == [True, False, True, False]


def test_overlapping_regions_count_once(write_json: WriteJson) -> None:
    path = write_json(collection(feature(square(0, 0, 100), "Tumor"), feature(square(50, 0, 100), None)))
    assert read_regions(path, FRAME).geometry.area == 150 * 100


@pytest.mark.parametrize(
    "content",
    [
        collection(feature(square(10, 20, 30))),
        feature(square(10, 20, 30)),
        square(10, 20, 30),
        [feature(square(10, 20, 30))],
        [square(10, 20, 30)],
        feature({"type": "MultiPolygon", "coordinates": [square(10, 20, 30)["coordinates"]]}),
        {"type": "Feature", "geometry": square(10, 20, 30), "properties": None},
        feature(None) | {"childObjects": [feature(square(10, 20, 30), "tumor")]},
        feature(None) | {"children": [feature(square(10, 20, 30), "tumor")]},
    ],
    ids=[
        "collection",
        "feature",
        "geometry",
        "features",
        "geometries",
        "multipolygon",
        "no properties",
        "child",
        "older child",
    ],
)
def test_every_shape_of_file_that_qupath_reads(write_json: WriteJson, content: Any) -> None:
    assert read_regions(write_json(content), FRAME).geometry.equals(shapely.box(10, 20, 40, 50))


def test_detections_of_older_versions_are_no_regions(write_json: WriteJson) -> None:
    objects = [
        {**feature(square(10, 20, 30)), "id": "PathAnnotationObject", "properties": {}},
        {**feature(square(500, 500, 50)), "id": "PathDetectionObject", "properties": {}},
    ]
    region = read_regions(write_json(objects), FRAME)
    assert region.geometry.equals(shapely.box(10, 20, 40, 50))
    assert "Objects that are no annotations were ignored: 1." in region.notes


def test_no_pipe_and_no_bomb(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.geojson")
    with pytest.raises(RegionError, match="is not a file"):
        read_regions(tmp_path / "fifo.geojson", FRAME)
    with gzip.GzipFile(tmp_path / "bomb.geojson.gz", "wb", mtime=0) as stream:
        for _ in range(66):
            stream.write(b" " * (1 << 20))
    with pytest.raises(RegionError, match="unpacks to more than 64 MiB"):
        read_regions(tmp_path / "bomb.geojson.gz", FRAME)


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    text = json.dumps(feature(square(10, 20, 30)))
    packed, marked = tmp_path / "regions.geojson.gz", tmp_path / "regions.json"
    packed.write_bytes(gzip.compress(text.encode()))
    marked.write_text(text, encoding="utf-8-sig")
    assert read_regions(packed, FRAME).geometry.equals(read_regions(marked, FRAME).geometry)


@pytest.mark.parametrize(
    ("classification", "area"),
    [
        ("TUMOR", 10_000),
        ({"name": "tumor"}, 10_000),
        ({"names": ["Tumor"]}, 10_000),
        ({}, 10_000),
        (None, 10_000),
        ("necrosis", 12_000_000 - 10_000),
        ("Ignore*", 12_000_000 - 10_000),
        ("Ignored by me", 12_000_000 - 10_000),
    ],
)
def test_classes_match_whatever_their_case(write_json: WriteJson, classification: Any, area: float) -> None:
    assert read_regions(write_json(feature(square(0, 0, 100), classification)), FRAME).geometry.area == area


def test_names_are_configurable_and_derived_classes_are_joined(write_json: WriteJson) -> None:
    path = write_json(
        collection(
            feature(square(0, 0, 10), "Region*"),
            feature(square(20, 0, 10), {"names": ["Tumor", "Invasive front"]}),
            feature(square(40, 0, 10), "Other"),
        )
    )
    assert read_regions(path, FRAME, include=["Region*"]).geometry.bounds == (0, 0, 10, 10)
    assert read_regions(path, FRAME, include=["Tumor: Inv*"]).geometry.bounds == (20, 0, 30, 10)
    region = read_regions(path, FRAME, include=["tumor*", "other"], exclude=["OTHER"])
    assert bounds(region) == (20, 0, 30, 10)  # exclude is the stronger
    assert list(region.notes) == ["Annotations of other classes were ignored: Region* (1)."]


def test_what_is_ignored_is_noted(write_json: WriteJson) -> None:
    path = write_json(
        collection(
            feature(square(0, 0, 10), "Tumor"),
            feature(square(50, 0, 10), "Stroma"),
            feature(square(70, 0, 10), "Stroma"),
            feature({"type": "Point", "coordinates": [5, 5]}, "Tumor"),
            feature({"type": "LineString", "coordinates": [[0, 0], [5, 5]]}),
            feature(square(90, 0, 10), "Tumor", objectType="detection"),
        )
    )
    region = read_regions(path, FRAME)
    assert region.geometry.area == 100
    assert region.notes == (
        "Annotations of other classes were ignored: Stroma (2).",
        "Objects that are no annotations were ignored: 1.",
        "Annotations without an area (points, lines) were ignored: 2.",
    )


def test_excluding_regions_alone_are_taken_out_of_the_whole_slide(write_json: WriteJson) -> None:
    region = read_regions(write_json(feature(square(0, 0, 100), "Necrosis")), MRXS_FRAME)
    assert region.geometry.area == 2000 * 2000 - 100 * 100  # of the part that holds pixels
    assert bounds(region) == (1000, 500, 3000, 2500)
    assert "excluding regions alone" in region.notes[0]


def test_ellipse(write_json: WriteJson) -> None:
    ellipse = square(100, 200, 300) | {"isEllipse": True}
    region = read_regions(write_json(feature(ellipse)), FRAME)
    assert region.geometry.area == pytest.approx(math.pi * 150**2, rel=2e-4)
    assert region.geometry.bounds == pytest.approx((100, 200, 400, 500))
    assert region.contains([250, 101], [350, 201]).tolist() == [True, False]


def test_crossing_outline_is_repaired(write_json: WriteJson) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]]}
    region = read_regions(write_json(feature(bow_tie)), FRAME)
    assert region.geometry.is_valid
    assert region.geometry.area == pytest.approx(2 * 100 * 50 / 2)
    assert "repaired: 1" in region.notes[0]


def test_clipped_to_the_slide(write_json: WriteJson) -> None:
    region = read_regions(write_json(feature(square(-50, -50, 100))), FRAME)
    assert bounds(region) == (0, 0, 50, 50)
    assert region.notes == ("Regions reach beyond the slide: 75.0% of their area was cut.",)


@given(
    left=st.integers(-500, 2500), top=st.integers(-500, 2500), side=st.integers(1, 2000),
    corner_x=st.integers(0, 1500), corner_y=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_qupath_frame_is_moved_by_the_bounds_then_clipped(
    tmp_path_factory: pytest.TempPathFactory, left: int, top: int, side: int, corner_x: int, corner_y: int
) -> None:
    frame = SlideFrame(4000, 3000, 0.25, Bounds(corner_x, corner_y, 2000, 1500))
    path = tmp_path_factory.mktemp("frame") / "r.json"
    path.write_text(json.dumps(square(left, top, side)))
    x0, y0 = max(left + corner_x, 0), max(top + corner_y, 0)
    x1, y1 = min(left + corner_x + side, 4000), min(top + corner_y + side, 3000)
    if x0 >= x1 or y0 >= y1:
        with pytest.raises(RegionError, match="another slide"):
            read_regions(path, frame)
    else:
        assert read_regions(path, frame).geometry.bounds == (x0, y0, x1, y1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"{not json", "not GeoJSON"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "not GeoJSON"),
        (b"\x1f\x8bgarbage that is no gzip", "cannot be read"),
        (gzip.compress(b'{"type": "Feature"}', mtime=0)[:20], "cannot be read"),
        (b"[" * 100_000, "not GeoJSON"),
        (b"3", "no GeoJSON object"),
        (b'{"type": "Topology"}', "no GeoJSON object"),
        (b'{"type": "FeatureCollection", "features": {"a": 1}}', "'features' is .*not a list"),
        (b'{"type": "FeatureCollection", "features": []}', "no region counts"),
        (json.dumps(feature(square(0, 0, 9), "Stroma")).encode(), "other classes: Stroma"),
        (json.dumps(feature({"type": "Point", "coordinates": [1, 1]})).encode(), "no region counts"),
        (json.dumps(feature(square(9000, 9000, 10))).encode(), "another slide"),
        (b'{"type": "Polygon", "coordinates": [[[0,0],[NaN,0],[1,1],[0,0]]]}', "object 1"),
        (b'{"type": "Polygon", "coordinates": [[[0,0],["a",0],[1,1],[0,0]]]}', "malformed coordinates"),
        (b'{"type": "Polygon", "coordinates": [[[0,0],[1,1]]]}', "malformed coordinates"),
        (b'{"type": "Polygon", "coordinates": 7}', "malformed coordinates"),
        (b'{"type": "Polygon"}', "malformed coordinates"),
        (b'{"type": "Polygon", "coordinates": []}', "another slide"),
        (b'{"type": "Feature", "geometry": 5, "properties": {}}', "malformed properties or geometry"),
        (
            json.dumps(collection(feature(square(0, 0, 9)), feature(square(0, 0, 99), "Ulcer"))).encode(),
            "cover all that counts",
        ),
    ],
)  # fmt: skip
def test_unusable_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_bytes(data)
    with pytest.raises(RegionError, match=message) as error:
        read_regions(path, FRAME)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="no such regions file"):
        read_regions(tmp_path / "absent.geojson", FRAME)
    with pytest.raises(RegionError, match="is not a file"):
        read_regions(tmp_path, FRAME)


def test_file_that_qupath_wrote(shared_data: Path) -> None:
    path = shared_data / "annotations" / "qupath05_export.geojson"
    rings = [item["geometry"]["coordinates"][0] for item in json.loads(path.read_text())["features"]]
    shoelace = sum(abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in itertools.pairwise(ring))) / 2 for ring in rings)
    region = read_regions(path, SlideFrame(20_000, 20_000, 0.25, Bounds(0, 0, 20_000, 20_000)))
    assert region.geometry.area == pytest.approx(shoelace)  # three annotations that do not overlap
    assert region.notes == ()
