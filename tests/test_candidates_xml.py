"""XML of ASAP, ImageScope and NDP.view: what is read, and what hostile files may not do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
    positions,
    raw_points,
    read,
    refusal,
    refused,
)

GLASS = PointsSlide(
    "case_1.ndpi",
    replace(SLIDE.frame, stated_mpp_xy=(0.25, 0.2525), centre_offset_nm=(-1_000_000.0, 2_500_000.0), mpp=0.25125),
)
SQUARE = ((100.0, 200.0), (140.0, 200.0), (140.0, 260.0), (100.0, 260.0))


def nm(x: float, y: float) -> tuple[int, int]:
    """NDP.view's whole nm of a place in level-0 px on ``GLASS``."""
    frame = GLASS.frame
    assert frame.centre_offset_nm is not None
    (offset_x, offset_y), (mpp_x, mpp_y) = frame.centre_offset_nm, frame.mpp_xy
    return (
        round((x - frame.width / 2) * mpp_x * 1000 + offset_x),
        round((y - frame.height / 2) * mpp_y * 1000 + offset_y),
    )


def test_asap_dots_sets_and_outlines(tmp_path: Path) -> None:
    objects = [
        ("Dot", "mitotic figure", [(10.25, 20.5)]),
        ("PointSet", "None", [(300.0, 400.0), (700.0, 800.0)]),
        ("Polygon", "AMF", SQUARE),
        ("Measurement", "None", [(0.0, 0.0), (50.0, 0.0)]),
        ("Rectangle", "Tumor", [(0.0, 0.0), (4000.0, 0.0), (4000.0, 3000.0), (0.0, 3000.0)]),
    ]
    found = read(tmp_path, made.asap(objects))
    assert (found.format, found.points_frame) == ("asap-xml", "level0")
    assert positions(found) == [(10.25, 20.5), (300.0, 400.0), (700.0, 800.0), (120.0, 230.0)]
    assert found.table["source_label"].tolist() == ["mitotic figure", None, None, "AMF"]
    assert found.table["candidate_id"].tolist() == ["1", "2", "3", "4"]
    assert found.table["by_person"].all()
    assert found.notes == (
        "1 measured line left out",
        "1 outline wider than 100 um taken for regions and left out",
    )
    assert positions(read(tmp_path, made.asap(objects[:1]), MRXS)) == [(10.25, 20.5)]


def test_asap_keeps_a_groups_program_among_its_attributes(tmp_path: Path) -> None:
    objects = [("Dot", "AMF", [(10.0, 20.0)]), ("Dot", "NMF", [(500.0, 20.0)])]
    groups = (
        '<AnnotationGroups><Group Name="AMF" PartOfGroup="None" Color="#ff0000"><Attributes>'
        '<Attribute grade="3"/><Attribute labelled_by="wsiamf tiny"/><Attribute note="x"/></Attributes></Group>'
        '<Group Name="NMF" PartOfGroup="None" Color="#0000ff"><Attributes><Attribute note="x"/></Attributes></Group>'
        "</AnnotationGroups>"
    )
    text = made.asap(objects).decode()
    start, end = text.index("<AnnotationGroups"), text.index("</ASAP_Annotations>")
    found = read(tmp_path, (text[:start] + groups + text[end:]).encode())
    assert found.table["by_person"].tolist() == [False, True]


def test_asap_faults_name_the_point(tmp_path: Path) -> None:
    objects = [
        ("Dot", "None", [(1.0, 2.0)]),
        ("Dot", "None", []),
        ("Blob", "None", SQUARE),
        ("Dot", "None", [(1.0, np.inf)]),
    ]
    said = refused(tmp_path, made.asap(objects))
    assert (
        "3 points cannot be used (point 2: it has no coordinates; point 3: its type is 'Blob'; point 4: y is inf"
        in said
    )
    assert (
        read(tmp_path, made.asap(objects), skip_bad_points=True).table["status"].tolist() == ["ok"] + ["bad_point"] * 3
    )


def test_imagescope_points_outlines_and_corners(tmp_path: Path) -> None:
    layers = [
        (
            "Mitosis",
            [("5", "", [(10.0, 20.0)]), ("0", "AMF", SQUARE), ("2", "seen by K.", [(500.0, 600.0), (540.0, 660.0)])],
        ),
        ("", [("1", "", SQUARE), ("0", "odd", [(900.0, 900.0)])]),
    ]
    found = read(tmp_path, made.imagescope(layers))
    assert (found.format, found.points_frame) == ("imagescope-xml", "level0")
    assert positions(found) == [(10.0, 20.0), (120.0, 230.0), (520.0, 630.0), (120.0, 230.0), (900.0, 900.0)]
    assert found.table["source_label"].tolist() == ["mitotic figure", "AMF", "mitotic figure", None, "odd"]
    assert found.table["by_person"].all()
    assert found.notes == ("labels that wsiamf does not know count as candidates: 'odd' (1)",)


def test_imagescope_lines_other_resolutions_and_negative_regions(tmp_path: Path) -> None:
    arrow = made.imagescope([("Mitosis", [("3", "", [(10.0, 20.0), (60.0, 90.0)])])])
    assert "region 1: it is a line or an arrow" in refused(tmp_path, arrow)
    other = read(tmp_path, made.imagescope([("Mitosis", [("5", "", [(10.0, 20.0)])])], mpp="0.499000"))
    assert other.notes == (
        "the points file was made on a slide of 0.499 um/px, this one has 0.25: its points may belong to another resolution",
    )
    unsaid = made.imagescope([("Mitosis", [("5", "", [(10.0, 20.0)])])], mpp="").replace(b' MicronsPerPixel=""', b"")
    assert read(tmp_path, unsaid).notes == ()
    negative = read(tmp_path, made.imagescope([("", [("0", "", SQUARE)])], negative="1"))
    assert (len(negative.table), negative.notes) == (0, ("1 negative region left out",))


def test_ndpa_counts_from_the_middle_of_the_glass(tmp_path: Path) -> None:
    ruler = '<annotation type="linearmeasure"><x1>0</x1><y1>0</y1><x2>9</x2><y2>9</y2></annotation>'
    views = [
        ("AMF", made.ndpa_pin(*nm(100, 200))),
        ("", made.ndpa_pin(*nm(19_999, 9_999), kind="circle")),
        ("Mitose", made.ndpa_freehand([nm(x, y) for x, y in SQUARE])),
        ("length", ruler),
        ("a bookmark", ""),
    ]
    found = read(tmp_path, made.ndpa(views), GLASS)
    assert (found.format, found.points_frame) == ("ndpa", "level0")
    np.testing.assert_allclose(found.table[["x", "y"]], [(100, 200), (19_999, 9_999), (120, 230)], atol=0.01)
    assert found.table["source_label"].tolist() == ["AMF", None, "mitotic figure"]
    assert found.table["by_person"].all()
    assert found.notes == ("1 measured line left out",)


def test_ndpa_as_ndp_view_wrote_one(tmp_path: Path) -> None:
    """The elements and attributes of a file of NDP.view2: indented, a rectangle of four points, its kind stated twice."""
    rectangle = made.ndpa_freehand([nm(x, y) for x, y in SQUARE]).replace("AnnotateFreehand", "AnnotateRectangle")
    special = "\n\t\t\t<specialtype>rectangle</specialtype>" * 2
    rectangle = rectangle.replace("</annotation>", f"{special}\n\t\t</annotation>")
    ruler = (
        '<annotation type="linearmeasure" displayname="AnnotateRuler" color="#000000"><x1>10606418</x1><y1>-537144</y1>'
        "<x2>18036854</x2><y2>-537144</y2></annotation>"
    )
    data = made.ndpa([("zoom", made.ndpa_pin(*nm(300, 400))), ("Mitose", rectangle), ("rotation", ruler)])
    found = read(tmp_path, data.replace(b"<details/>", b"<details />").replace(b"<lens>", b"\n\t\t<lens>"), GLASS)
    np.testing.assert_allclose(found.table[["x", "y"]], [(300, 400), (120, 230)], atol=0.01)
    assert found.table["source_label"].tolist() == ["zoom", "mitotic figure"]
    assert found.notes[0] == "1 measured line left out"


def test_ndpa_needs_a_slide_that_knows_its_place(tmp_path: Path) -> None:
    data = made.ndpa([("AMF", made.ndpa_pin(0, 0))])
    said = refused(tmp_path, data)
    assert "case_1.svs does not say where that is (hamamatsu.XOffsetFromSlideCentre" in said
    pixels = made.ndpa([("AMF", made.ndpa_pin(0, 0))], coordformat="pixels")
    assert "annotation 1: its coordformat is 'pixels', not nanometers" in refused(tmp_path, pixels, GLASS)
    arrow = '<annotation type="pointer"><x1>0</x1><y1>0</y1><x2>9</x2><y2>9</y2></annotation>'
    assert "annotation 1: it is an arrow" in refused(tmp_path, made.ndpa([("AMF", arrow)]), GLASS)


def test_ndpa_without_a_slide_is_in_um(tmp_path: Path) -> None:
    raw = raw_points(tmp_path, "ndpa", made.ndpa([("AMF", made.ndpa_pin(1_500, -2_000))]))
    assert (raw.unit, raw.x.tolist(), raw.y.tolist()) == ("um", [1.5], [-2.0])


@MANY
@given(st.lists(INSIDE, max_size=20))
def test_points_come_back(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    files = [
        (made.asap([("Dot", "None", [point]) for point in points]), SLIDE),
        (made.asap([("PointSet", "None", points)] if points else []), MRXS),
        (made.imagescope([("Mitosis", [("5", "", [point]) for point in points])]), SLIDE),
        (made.ndpa([("Mitosis", made.ndpa_pin(*nm(x, y))) for x, y in points]), GLASS),
    ]
    for data, slide in files:
        found = read(tmp_path, data, slide)
        np.testing.assert_allclose(found.table[["x", "y"]], np.reshape(points, (-1, 2)), atol=0.5)
        assert (found.table["status"] == "ok").all()


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE ASAP_Annotations [<!ENTITY a0 "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
    + b"]><ASAP_Annotations>&a11;</ASAP_Annotations>"
)
EXTERNAL = (
    b'<!DOCTYPE ASAP_Annotations [<!ENTITY x SYSTEM "file:///etc/passwd">]><ASAP_Annotations>&x;</ASAP_Annotations>'
)
DOT = made.asap([("Dot", "None", [(10.0, 20.0)])])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (LAUGHS, "declares a document type, which could define entities"),
        (EXTERNAL, "declares a document type"),
        (b'<!DOCTYPE annotations SYSTEM "http://example.org/a.dtd"><annotations/>', "declares a document type"),
        (b"<ASAP_Annotations>&x;</ASAP_Annotations>", "not well-formed XML: undefined entity: line 1"),
        (b"<ASAP_Annotations>" + b"<a>" * 100_000, "elements nested 64 deep"),
        (DOT[:150], "not well-formed XML"),
        (DOT + b"<more/>", "not well-formed XML: junk after document element"),
        (DOT.replace(b'"10.0"', b'"NaN"'), "point 1: x is missing"),
        (DOT.replace(b'"10.0"', b'"%s"' % (b"9" * 5000)), "point 1: x is infinite"),
        (DOT.replace(b'"10.0"', b'"1_0"'), "point 1: x is '1_0', not a number"),
        (DOT.replace(b'"10.0"', b'"1e5"'), "point 1: (100000, 20) lies off the slide"),
        (DOT.replace(b"?>", b' encoding="nonsense"?>', 1), "not a points file that wsiamf knows"),
        (DOT.replace(b"Annotation 0", b"Annotation \xff"), "not well-formed XML: not well-formed (invalid token)"),
        (DOT.decode().encode("utf-16")[:300], "not well-formed XML"),
        (b"<svg/>", "not a points file that wsiamf knows"),
        (b"<" * 1000, "not a points file that wsiamf knows"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    with bounded_memory(8):
        assert said in refused(tmp_path, data)


def test_encodings_that_xml_declares_are_read(tmp_path: Path) -> None:
    text = made.asap([("Dot", "Mitose", [(10.0, 20.0)])]).decode()
    for data in (
        text.encode("utf-16"),
        text.encode("utf-8-sig"),
        text.replace("?>", ' encoding="latin-1"?>', 1).encode(),
    ):
        assert positions(read(tmp_path, data)) == [(10.0, 20.0)]


def test_an_unknown_encoding_is_named_where_the_format_is_forced(tmp_path: Path) -> None:
    data = DOT.replace(b"?>", b' encoding="nonsense"?>', 1)
    assert "not well-formed XML: unknown encoding" in refused(tmp_path, data, points_format="asap-xml")


def test_another_programs_xml_is_refused_by_name(tmp_path: Path) -> None:
    assert "its outermost element is 'ASAP_Annotations'; expected 'annotations'" in refused(
        tmp_path, DOT, points_format="ndpa"
    )


@pytest.mark.parametrize(
    "inside", [b"<!--" + b"x" * 5_000_000 + b"-->", b"<a b='" + b"x" * 5_000_000 + b"'/>", b" " * 5_000_000]
)
def test_one_endless_piece_is_not_taken_into_memory(tmp_path: Path, inside: bytes) -> None:
    path = tmp_path / "points.xml"
    path.write_bytes(b"<ASAP_Annotations>" + inside + b"</ASAP_Annotations>")
    with bounded_memory(8):
        assert "one piece of it is longer than 1 MB" in refusal(path)


FUZZED = {
    "asap-xml": [
        made.asap([("Dot", "AMF", [(10.0, 20.0)]), ("Polygon", "None", SQUARE), ("PointSet", "None", SQUARE)])
    ],
    "imagescope-xml": [made.imagescope([("Mitosis", [("5", "", [(10.0, 20.0)]), ("0", "AMF", SQUARE)])])],
    "ndpa": [
        made.ndpa([("AMF", made.ndpa_pin(*nm(10, 20))), ("", made.ndpa_freehand([nm(*place) for place in SQUARE]))])
    ],
}


@pytest.mark.parametrize("n", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", FUZZED)
def test_whatever_the_bytes_points_or_one_line(tmp_path: Path, name: str, n: int) -> None:
    fuzz(tmp_path / "points.xml", FUZZED[name], n=n, slide=GLASS, points_format=name)
