"""QuPath's own files: GeoJSON in all its shapes, points as TSV, measurements; in QuPath's frame."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import program_files as made
from tests.points_fuzz import MANY, MRXS, SLIDE, PointsSlide, positions, refusal, slide_of, write_zip
from wsiamf.candidates import Candidates, read_candidates
from wsiamf.candidates.formats import reader_for
from wsiamf.candidates.outlines import Outlines
from wsiamf.candidates.raw import NamedSlide
from wsiamf.errors import CandidateError
from wsiamf.geometry import Bounds, SlideFrame

REAL = "annotations/qupath05_export.geojson"


def feature(geometry: Any, identity: str | None = None, **properties: Any) -> dict[str, Any]:
    found = {"type": "Feature", "geometry": geometry, "properties": properties}
    return found if identity is None else {**found, "id": identity}


def point(x: float, y: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y]}


def square(x: float, y: float, side: float = 50.0) -> dict[str, Any]:
    left, top, right, bottom = x - side / 2, y - side / 2, x + side / 2, y + side / 2
    return {
        "type": "Polygon",
        "coordinates": [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]],
    }


def written(folder: Path, content: Any, name: str = "objects.geojson") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), "utf-8")
    return path


def read(folder: Path, *features: Any, **options: Any) -> Candidates:
    return read_candidates(written(folder, {"type": "FeatureCollection", "features": features}), SLIDE, **options)


def test_the_real_export_by_its_centres_of_area(shared_data: Path) -> None:
    path = shared_data / REAL
    found = read_candidates(path, slide_of("any.svs", 20_000, 20_000))
    features = json.loads(path.read_text())["features"]
    centres = [shapely.from_geojson(json.dumps(one["geometry"])).centroid for one in features]
    np.testing.assert_allclose(positions(found), [(centre.x, centre.y) for centre in centres], atol=1e-6)
    assert found.table["candidate_id"].tolist() == [one["id"] for one in features]
    assert (found.format, found.points_frame) == ("qupath-geojson", "qupath")
    assert found.table["source_label"].tolist() == [None] * 3  # they have names alone, which are no classes
    assert found.table["by_person"].all()


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [feature(point(10, 20))]},
        {"features": [feature(point(10, 20))], "crs": {"type": "name"}, "type": "FeatureCollection"},
        feature(point(10, 20)),
        [feature(point(10, 20))],
        point(10, 20),
        [point(10, 20)],
        [{"type": "FeatureCollection", "features": [feature(point(10, 20))]}],
        {"type": "MultiPoint", "coordinates": [[10, 20]]},
        {"type": "Point", "coordinates": [10, 20, 0]},
        feature(square(10, 20)),
        feature({"type": "MultiPolygon", "coordinates": [square(10, 20)["coordinates"]]}),
        feature(square(10, 20) | {"isEllipse": True, "plane": {"c": -1, "z": 0, "t": 0}}),
    ],
)
def test_every_shape_of_the_same_point(tmp_path: Path, content: Any) -> None:
    path = written(tmp_path, content)
    assert positions(read_candidates(path, SLIDE)) == [(10.0, 20.0)]
    assert positions(read_candidates(path, MRXS)) == [(3010.0, 2020.0)]


def test_packed_files(tmp_path: Path) -> None:
    plain = written(tmp_path, [feature(point(10, 20))])
    packed = tmp_path / "objects.geojson.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    zipped = write_zip(tmp_path / "objects.zip", {"a.geojson": plain.read_bytes(), "readme.txt": b"x"})
    mark = tmp_path / "mark.geojson"
    mark.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    for path in (packed, zipped, mark):
        found = read_candidates(path, SLIDE)
        assert (positions(found), found.format) == ([(10.0, 20.0)], "qupath-geojson")


def older(kind: str, x: float, **properties: Any) -> dict[str, Any]:
    return feature(point(x, 10), f"Path{kind}Object", classification={"name": "AMF", "colorRGB": -1}, **properties)


@pytest.mark.parametrize("content", [[], {"type": "FeatureCollection", "features": []}])
def test_a_file_without_objects_has_no_points(tmp_path: Path, content: Any) -> None:
    found = read_candidates(written(tmp_path, content), SLIDE, points_format="qupath-geojson")
    assert len(found.table) == 0


def test_files_of_older_versions_have_the_kind_where_the_id_belongs(tmp_path: Path) -> None:
    found = read(tmp_path, older("Detection", 10), older("Annotation", 500), older("Cell", 900), older("TMACore", 1300))
    assert found.table["candidate_id"].tolist() == ["1", "2", "3"]
    assert found.table["by_person"].tolist() == [False, True, False]
    assert "1 tile or core of QuPath left out" in found.notes


def test_objects_without_an_id_among_others(tmp_path: Path) -> None:
    several = {"type": "MultiPoint", "coordinates": [[100, 100], [900, 900]]}
    found = read(tmp_path, feature(point(1, 2), "a"), feature(point(500, 2)), feature(several))
    assert found.table["candidate_id"].tolist() == ["1", "2", "3/1", "3/2"]
    assert "2 objects without an id: all objects are called by their numbers in the file" in found.notes


def test_a_region_without_an_id_takes_none_of_the_figures(tmp_path: Path) -> None:
    found = read(
        tmp_path, feature(square(1500, 1500, 3000)), feature(square(400, 400), "a"), feature(square(900, 400), "b")
    )
    assert found.table["candidate_id"].tolist() == ["a", "b"]
    assert found.notes == ("1 outline wider than 100 um taken for regions and left out",)


def parts(*places: tuple[float, float], side: float = 40.0) -> dict[str, Any]:
    return {"type": "MultiPolygon", "coordinates": [square(*place, side)["coordinates"] for place in places]}


def test_cells_of_a_class_in_one_object(tmp_path: Path) -> None:  # as CellViT writes them
    places = [(100.0, 100.0), (140.5, 100.0), (5000.0, 3000.0), (900.0, 800.0)]
    mitosis = feature(parts(*places), "m", objectType="annotation", classification={"name": "mitosis"})
    other = feature(parts((10, 10), (700, 10)), "o", objectType="annotation", classification={"name": "Neoplastic"})
    lone = feature(parts((300, 300)), "d", objectType="annotation", classification={"name": "Dead"})
    found = read(tmp_path, mitosis, other, lone, merge_um=0)
    assert positions(found) == places
    assert found.table["candidate_id"].tolist() == ["m/1", "m/2", "m/3", "m/4"]
    assert not found.table["by_person"].any()
    assert "3 cells of other classes left out: 'Neoplastic' (2), 'Dead' (1)" in found.notes
    with pytest.raises(CandidateError, match="none of its classes is mitotic figures"):
        read(tmp_path, other)


def test_a_tissue_in_pieces_is_a_region(tmp_path: Path) -> None:  # as QuPath's tissue detection writes it
    pieces = feature(parts((100, 100), (900, 900), (2000, 300), side=300), "t", objectType="annotation")
    found = read(tmp_path, pieces, feature(square(400, 400), "a", objectType="annotation", classification="AMF"))
    assert found.table["candidate_id"].tolist() == ["a"]
    assert found.table["by_person"].all()
    assert found.notes == ("1 outline wider than 100 um taken for regions and left out",)


@pytest.mark.parametrize(
    ("geometry", "n"),
    [
        (parts((100, 100), (5000, 100)), 2),  # whatever the resolution
        (parts((100, 100), (700, 100)), None),  # 64 to 640 um in all
        (parts((100, 100), (5000, 100), side=150), None),  # parts of 15 to 150 um
        (parts((100, 100), (5000, 100), side=1500), 1),
    ],
)
def test_cells_are_told_without_a_slide_only_at_every_resolution(tmp_path: Path, geometry: Any, n: int | None) -> None:
    path = written(tmp_path, feature(geometry, classification="AMF"))
    raw = reader_for(path, None).read(path, NamedSlide())
    assert raw.may_hold_regions == (n is None)
    assert len(raw) == (n or 1)


@pytest.mark.parametrize(
    ("geometry", "place"),
    [
        pytest.param(parts((100, 100), (160, 100), side=20), (130, 100), id="one figure of two parts"),
        pytest.param(parts(*((100 + 40 * n, 100 + 40 * n) for n in range(13))), (340, 340), id="parts that touch"),
        pytest.param(parts((1000, 1000), (3000, 1000), side=500), (2000, 1000), id="wide parts"),
    ],
)
def test_other_objects_of_several_parts_are_one(tmp_path: Path, geometry: Any, place: tuple[float, float]) -> None:
    found = read(tmp_path, feature(geometry, objectType="annotation", classification={"name": "AMF"}))
    assert positions(found) == [place]
    assert found.table["by_person"].all()


@pytest.mark.parametrize(
    ("classification", "label"),
    [
        ("AMF", "AMF"),
        ({"name": "Mitosis", "colorRGB": -3}, "mitotic figure"),
        ({"name": "AMF: Hard", "color": [1, 2, 3]}, "AMF"),
        ({"names": ["Tumor", "NMF"], "color": [1, 2, 3]}, "NMF"),
        ("Something: else", "Something: else"),
        (None, None),
        ({}, None),
        ("", None),
        (5, None),
        ({"name": ["AMF"]}, None),
    ],
)
def test_classes_in_every_form(tmp_path: Path, classification: Any, label: str | None) -> None:
    found = read(tmp_path, feature(point(1, 2), classification=classification))
    assert found.table["source_label"].tolist() == [label]


def test_a_name_is_a_class_only_if_it_is_one(tmp_path: Path) -> None:
    found = read(tmp_path, feature(point(1, 2), name="AMF"), feature(point(300, 2), name="MF-000017"))
    assert found.table["source_label"].tolist() == ["AMF", None]


@pytest.mark.parametrize(
    ("measurements", "score"),
    [
        ({"Detector score": 0.5, "Area": 3}, 0.5),
        ({"Probability": 0.5, "score": 0.25}, 0.25),
        ([{"name": "Confidence", "value": 0.5}], 0.5),
        ({"score": "0.5"}, 0.5),
        ({"score": "NaN"}, None),
        ({"P(atypical)": 0.9}, None),
        ({}, None),
    ],
)
def test_scores_are_measurements_of_the_listed_names(tmp_path: Path, measurements: Any, score: float | None) -> None:
    found = read(tmp_path, feature(point(1, 2), measurements=measurements))
    assert found.table["score"].replace({np.nan: None}).tolist() == [score]


def test_annotations_are_peoples_detections_are_not(tmp_path: Path) -> None:
    kinds = ["annotation", "detection", "cell", "tile", None]
    features = [feature(square(1000 * n, 500), objectType=kind) for n, kind in enumerate(kinds, start=1)]
    found = read(tmp_path, *features, feature(square(9000, 500), measurements={"score": 1}))
    assert found.table["source_row"].tolist() == [1, 2, 3, 5, 6]
    assert found.table["by_person"].tolist() == [True, False, False, True, False]
    assert "1 tile or core of QuPath left out" in found.notes


def test_the_nucleus_is_the_cells_point_and_children_are_read(tmp_path: Path) -> None:
    cell = feature(square(100, 100, 80), "c", objectType="cell") | {"nucleusGeometry": square(90, 95, 20)}
    parent = feature(square(5000, 4000, 3000), "p") | {"childObjects": [cell]}
    found = read(tmp_path, parent)
    assert positions(found) == [(90.0, 95.0)]
    assert "1 outline wider than 100 um taken for regions and left out" in found.notes


def test_points_of_one_object_have_numbered_ids(tmp_path: Path) -> None:
    found = read(tmp_path, feature({"type": "MultiPoint", "coordinates": [[1, 2], [300, 4]]}, "u"))
    assert found.table["candidate_id"].tolist() == ["u/1", "u/2"]
    assert found.table["source_row"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        (
            {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
            "object 1: a geometry of type 'LineString' is no point",
        ),
        (None, "object 1: a geometry of type None"),
        ({"type": "Point"}, "object 1: its coordinates are None"),
        ({"type": "Point", "coordinates": ["1", "2"]}, "object 1: its coordinates are no numbers"),
        ({"type": "Point", "coordinates": [1]}, "object 1: its coordinates are no numbers"),
        ({"type": "Point", "coordinates": [float("nan"), 1]}, "object 1: its coordinates are no finite numbers"),
        ({"type": "Point", "coordinates": [10**400, 1]}, "object 1: its coordinates are no numbers"),
        ({"type": "Polygon", "coordinates": [[]]}, "object 1: its coordinates are no numbers"),
        ({"type": "Polygon", "coordinates": [7]}, "object 1: its coordinates are no numbers"),
        ({"type": "MultiPolygon", "coordinates": [7]}, "object 1: its coordinates are [7]"),
        ({"type": "MultiPolygon", "coordinates": [[[[]]]]}, "object 1: its coordinates are no numbers"),
        ({"type": "MultiPolygon", "coordinates": [[[]]]}, "object 1: its coordinates are no numbers"),
        (
            {"type": "MultiPolygon", "coordinates": [[[[5], [6]]], [[[5000], [5001]]]]},
            "object 1: its coordinates are no numbers",
        ),
        (
            {"type": "MultiPolygon", "coordinates": [[[[1e308, 1], [-1e308, 1]]]]},
            "object 1: its coordinates are no finite numbers",
        ),
        ({"type": "Point", "coordinates": [1e300, 1]}, "lies off the slide"),
    ],
)
def test_objects_without_a_place_are_named(tmp_path: Path, geometry: Any, said: str) -> None:
    for properties in ({}, {"classification": "AMF"}):
        path = written(tmp_path, [feature(geometry, **properties)])
        assert said in refusal(path)
        assert read_candidates(path, SLIDE, skip_bad_points=True).table["status"].tolist() == ["bad_point"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"type":"Point"},', "not valid JSON: Expecting value (at character 18)"),
        ('[{"type":"Point"} 7]', "not valid JSON: expected ','"),
        ('{"type":"FeatureCollection","features":[]} x', "more follows after the end"),
        ('{"type":"FeatureCollection","features":3}', "'features' is 3, not a list"),
        ('[{"type":"Feature","properties":[1]}]', "object 1: its properties are [1]"),
        ('[{"type":"Point","coordinates":[1,2]},4]', "holds 4, which is no GeoJSON object"),
        ('[{"type":"Point","x":' + "9" * 5000 + "}]", "not valid JSON: Exceeds the limit"),
        ('[{"type":"Point","x":' + "[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "objects.geojson"
    path.write_text(text)
    assert said in refusal(path)


def test_an_id_that_wsiamf_wrote_and_experts_come_back(tmp_path: Path) -> None:
    votes = {"expert_Ann": "AMF", "expert_Bob": "NMF"}
    found = read(
        tmp_path,
        feature(point(1, 2), "00000000-0000-4000-8000-000000000000", metadata={"candidate_id": "q7", **votes}),
        feature(point(300, 2), "00000000-0000-4000-8000-000000000001"),
    )
    assert found.table["candidate_id"].tolist() == ["q7", "00000000-0000-4000-8000-000000000001"]
    assert found.votes == {"Ann": ("AMF", None), "Bob": ("NMF", None)}


rings = st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)), min_size=3, max_size=8)


@settings(max_examples=100, deadline=None)
@given(st.lists(rings, min_size=1, max_size=5))
def test_centres_of_area_are_shapelys(shapes: list[list[tuple[float, float]]]) -> None:
    hulls = [shapely.MultiPoint(shape).convex_hull for shape in shapes]
    kept = [hull for hull in hulls if isinstance(hull, shapely.Polygon) and hull.area > 1]
    outlines = Outlines()
    for number, hull in enumerate(kept):
        vertices = list(hull.exterior.coords)[:: -1 if number % 2 else 1]
        hole = list(shapely.affinity.scale(hull, 0.3, 0.2).exterior.coords)
        assert outlines.add([(vertices, False), (hole, True)])
    centres, widths = outlines.places()
    for hull, centre, width in zip(kept, centres, widths, strict=True):
        cut = shapely.Polygon(hull.exterior, [shapely.affinity.scale(hull, 0.3, 0.2).exterior])
        assert np.hypot(centre[0] - cut.centroid.x, centre[1] - cut.centroid.y) < 0.01
        left, top, right, bottom = hull.bounds
        assert width == pytest.approx(max(right - left, bottom - top))


def test_a_points_tsv(tmp_path: Path) -> None:
    path = tmp_path / "points.tsv"
    path.write_text("x\ty\tclass\tname\tcolor\n10.5\t20\tAMF\tone\t-1\n300\t400\t\tMitosis\t-1\n500\t600\t\tx\t\n")
    found = read_candidates(path, MRXS)
    assert (found.format, found.points_frame) == ("qupath-points", "qupath")
    assert positions(found) == [(3010.5, 2020.0), (3300.0, 2400.0), (3500.0, 2600.0)]
    assert found.table["source_label"].tolist() == ["AMF", "mitotic figure", None]


@pytest.mark.parametrize("text", ["x\ty\n1\t2\n", "y\tx\tclass\n2\t1\tAMF\n", "x\ty\tclass\tscore\n1\t2\tAMF\t1\n"])
def test_other_tables_with_tabs_are_plain(tmp_path: Path, text: str) -> None:
    path = tmp_path / "points.tsv"
    path.write_text(text)
    found = read_candidates(path, MRXS)
    assert (found.format, positions(found)) == ("csv", [(1.0, 2.0)])


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_table_of_measurements(tmp_path: Path, separator: str) -> None:
    rows = [
        ("Image", "Object ID", "Object type", "Name", "Classification", "Centroid X µm", "Centroid Y µm", "Area µm^2"),
        ("case_1.mrxs", "a", "Detection", "", "NMF", "25", "50", "3"),
        ("case_2.mrxs", "b", "Annotation", "", "AMF", "1", "2", "3"),
        ("case_1.mrxs", "c", "Annotation", "", "AMF", "250", "500", "3"),
    ]
    path = tmp_path / "measurements.tsv"
    path.write_text("\n".join(separator.join(row) for row in rows), "utf-8")
    found = read_candidates(path, MRXS)
    assert (found.format, found.points_frame) == ("qupath-measurements", "qupath")
    assert positions(found) == [(3100.0, 2200.0), (4000.0, 4000.0)]
    assert found.table["candidate_id"].tolist() == ["a", "c"]
    assert found.table["source_label"].tolist() == ["NMF", "AMF"]
    assert found.table["by_person"].tolist() == [False, True]


LABELS = {"AMF": "AMF", "NMF": "NMF", "Mitosis": "mitotic figure", None: None}
"""What QuPath's classes are read as."""

measured = st.tuples(
    st.uuids().map(str),
    st.sampled_from(["Annotation", "Detection", "Cell"]),
    st.sampled_from(list(LABELS)),
    st.floats(0, 49_999),
    st.floats(0, 39_999),
)


@MANY
@given(
    objects=st.lists(measured, max_size=20, unique_by=lambda one: one[0]),
    mpp_xy=st.sampled_from([(0.25, 0.25), (0.2482, 0.2491), (0.4, 0.394)]),
    separator=st.sampled_from("\t,;"),
)
def test_measurements_come_back(tmp_path: Path, objects: Any, mpp_xy: tuple[float, float], separator: str) -> None:
    bounds = Bounds(3000, 2000, 50_000, 40_000)
    slide = PointsSlide("case_1.mrxs", SlideFrame(60_000, 50_000, sum(mpp_xy) / 2, bounds, stated_mpp_xy=mpp_xy))
    path = tmp_path / "measurements.txt"
    path.write_bytes(made.qupath_measurements(slide.name, objects, mpp_xy, separator))
    found = read_candidates(path, slide)
    assert (found.format, found.points_frame) == ("qupath-measurements", "qupath")
    for axis, corner, column, mpp in zip("xy", (bounds.x, bounds.y), (3, 4), mpp_xy, strict=True):
        px = np.array([one[column] for one in objects])
        half_a_digit = np.array([0.5 * 10.0 ** -made.qupath_decimals(value * mpp) / mpp for value in px])
        assert (np.abs(found.table[axis] - (px + corner)) <= half_a_digit + 1e-6).all()
    assert found.table["candidate_id"].tolist() == [one[0] for one in objects]
    assert found.table["source_label"].tolist() == [LABELS[name] for _, _, name, _, _ in objects]
    assert found.table["by_person"].tolist() == [kind == "Annotation" and bool(name) for _, kind, name, _, _ in objects]


def test_measurements_in_px_and_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "measurements.csv"
    path.write_text("Image,Centroid X px,Centroid Y px\ncase_1.svs,10,20\n")
    found = read_candidates(path, SLIDE)
    assert (positions(found), found.format) == ([(10.0, 20.0)], "qupath-measurements")
    path.write_bytes("Image,Centroid X µm,Centroid Y µm\ncase_1.svs,10,20\n".encode("latin-1"))
    assert "line 1 is not UTF-8 (byte 0xb5)" in refusal(path)
