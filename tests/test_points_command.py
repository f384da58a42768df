"""``wsiamf points``: what a file is said to hold, and that what is converted comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.points_fuzz import MRXS, SLIDE, PointsSlide, positions
from tests.qupath_checker import check_qupath_geojson
from tests.sliderunner_files import Annotation, write_sliderunner
from wsiamf.candidates import Candidates, read_candidates
from wsiamf.candidates.inspecting import inspect_points
from wsiamf.candidates.raw import NamedSlide
from wsiamf.cli.main import run, wsiamf
from wsiamf.errors import CandidateError, ConfigError, OutputExistsError
from wsiamf.export.points import SUFFIXES, convert_points

SAMPLE = "sample.tiff"


def inspected(*arguments: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(wsiamf, ["points", "inspect", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def converted(path: Path, suffix: str, slide: Any, **options: Any) -> Path:
    out = path.with_name(f"out{suffix}")
    convert_points(path, out, slide, overwrite=True, **options)
    return out


def test_what_a_database_of_many_slides_holds(shared_data: Path) -> None:
    path = shared_data / "annotations/MIDOG.sqlite"
    facts = inspected(path)
    assert (facts["format"], facts["n_points"], facts["frame"], facts["unit"]) == ("sliderunner", 4435, "level0", "px")
    assert facts["classes"] == {"non-mitotic": 2714, "mitotic figure": 1721}
    assert list(facts["slides"].items())[:2] == [("094.tiff", 184), ("134.tiff", 161)]
    assert facts["extent"]["x"] == {"min": 12.0, "max": 7197.0}
    assert facts["raters"]["RetinaNet"] == {"votes_count": False, "classes": {"": 3597, "not mitotic figure": 838}}
    one = inspected(path, "--slide-name", "094.tiff")
    assert (one["n_points"], one["slides"], one["on_slide"]) == (184, {"094.tiff": 184}, None)


@pytest.mark.parametrize(
    ("file", "name", "n"),
    [
        ("annotations/MIDOG++.json", "midog-json", 26_286),
        ("annotations/MIDOG25_Atypical_Classification_Train_Set.csv", "midog25-csv", 11_937),
        ("annotations/qupath05_export.geojson", "qupath-geojson", 3),
        ("crops/AMi-Br/AMI-BR.csv", "ami-br-csv", None),
    ],
)
def test_every_real_file_is_described(shared_data: Path, file: str, name: str, n: int | None) -> None:
    facts = inspected(shared_data / file)
    assert facts["format"] == name
    assert n is None or facts["n_points"] == n
    assert facts["n_unusable"] == 0
    assert sum(facts["classes"].values()) == facts["n_points"]


def test_um_scores_and_unusable_rows_are_said_without_the_slide(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x_um,y_um,score\n25,50,0.5\n75,100,0.25\nbad,1,\n")
    facts = inspected(path)
    assert (facts["unit"], facts["extent"]["x"]) == ("um", {"min": 25.0, "max": 75.0})
    assert facts["scores"] == {"min": 0.25, "max": 0.5}
    assert (facts["n_unusable"], facts["unusable"]) == (1, "row 3: x_um is 'bad', not a number")
    assert facts["slides"] is facts["raters"] is facts["on_slide"] is None


def test_a_slide_tells_where_the_points_lie(tmp_path: Path, sample_data: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x_um,y_um\n25,50\n99999,100\n")
    facts = inspected(path, "--slide", sample_data / SAMPLE)
    assert facts["on_slide"]["slide"] == SAMPLE
    assert facts["on_slide"]["n_off_slide"] == 1
    assert facts["on_slide"]["extent"]["y"] == {
        "min": 50 / facts["on_slide"]["mpp"],
        "max": 100 / facts["on_slide"]["mpp"],
    }


def test_text_for_a_persons_eye(tmp_path: Path) -> None:
    path = write_sliderunner(tmp_path / "a.sqlite", [Annotation([(1, 2)], said=[(1, 1)])])
    result = CliRunner().invoke(wsiamf, ["points", "inspect", str(path)], catch_exceptions=False)
    assert "format       sliderunner\n" in result.stdout
    assert "rater Ann: AMF 1; AMF and NMF labels are votes with --raters\n" in result.stdout


rows = st.lists(
    st.tuples(
        st.floats(0, 9_999),
        st.floats(0, 4_999),
        st.none() | st.floats(0, 1, allow_subnormal=False),
        st.sampled_from([None, "AMF", "NMF", "mitotic figure", "non-mitotic", "other, thing"]),
        st.sampled_from([None, "AMF", "NMF"]),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("slide", [SLIDE, MRXS], ids=["plain", "bounds"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_a_round_trip_keeps_everything(rows: list[Any], suffix: str, slide: PointsSlide, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("id,x,y,score,label,expert_Ann\n" + "".join(_line(number, *row) for number, row in enumerate(rows)))
    options: dict[str, Any] = {"points_frame": "qupath", "include_non_mitotic": True, "merge_um": 0}
    first = read_candidates(path, slide, **options)
    out = converted(path, suffix, slide, points_frame="qupath")
    again = read_candidates(out, slide, include_non_mitotic=True, merge_um=0)
    assert np.abs(np.subtract(positions(first), positions(again))).max() <= 0.01
    for column in ("candidate_id", "source_label", "score", "by_person"):
        if column != "by_person" or suffix != ".geojson":  # in a GeoJSON an annotation is a person's with any class
            assert _plain(first, column) == _plain(again, column), column
    assert first.votes == again.votes


def _line(number: int, x: float, y: float, score: float | None, label: str | None, vote: str | None) -> str:
    return f'p{number},{x},{y},{"" if score is None else score},"{label or ""}",{vote or ""}\n'


def _plain(found: Candidates, column: str) -> list[Any]:
    return [None if pd.isna(value) else value for value in found.table[column].tolist()]


def test_geojson_for_qupath_is_as_strict_as_our_own(tmp_path: Path, sample_data: Path) -> None:
    out = tmp_path / "points.geojson"
    arguments = ["points", "convert", str(sample_data / "points.csv"), str(out), "--slide", str(sample_data / SAMPLE)]
    assert run(arguments) == 0
    assert check_qupath_geojson(out) == []
    before = out.read_bytes()
    assert run(arguments) == 1
    assert run([*arguments, "--overwrite"]) == 0
    assert out.read_bytes() == before


def labelled(kind: str, x: float, **properties: Any) -> dict[str, Any]:
    known = {"objectType": kind, "classification": "AMF", **properties}
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, 100.0]}, "properties": known}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_whose_points_they_are_is_kept(tmp_path: Path, suffix: str) -> None:
    person, program = labelled("annotation", 100), labelled("detection", 400)
    scored = labelled("detection", 700, measurements={"score": 0.5})
    path = tmp_path / "objects.geojson"
    for objects, expected in (
        ([person, program], [True, False]),
        ([program], [False]),
        ([person, scored], [True, False]),
    ):
        path.write_text(json.dumps(objects))
        found = read_candidates(converted(path, suffix, SLIDE), SLIDE)
        assert found.table["by_person"].tolist() == expected


def test_who_labelled_a_plain_table(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x,y,label,labelled_by\n1,1,AMF,wsiamf tiny\n500,500,AMF,\n900,900,AMF,Ann\n")
    found = read_candidates(path, SLIDE)
    assert found.table["by_person"].tolist() == [False, True, True]
    assert any("1 row labelled by 'wsiamf tiny', a program" in note for note in found.notes)
    assert any("1 row labelled by 'Ann', taken for a person's" in note for note in found.notes)
    path.write_text("x,y,label,labelled_by,score\n1,1,AMF,Ann,0.5\n")  # no person's anyway
    assert not any("labelled by" in note for note in read_candidates(path, SLIDE).notes)
    path.write_text("x,y,label,by_person\n1,1,AMF,perhaps\n")
    with pytest.raises(CandidateError, match="row 1: by_person is 'perhaps', not true or false"):
        read_candidates(path, SLIDE)


def test_all_slides_go_into_one_table(tmp_path: Path, shared_data: Path) -> None:
    out = tmp_path / "all.parquet"
    convert_points(shared_data / "annotations/MIDOG++.json", out, NamedSlide())
    facts = inspected(out)
    assert (facts["n_points"], len(facts["slides"])) == (26_286, 503)
    one = read_candidates(out, PointsSlide("002.tiff", SLIDE.frame), include_non_mitotic=True, skip_bad_points=True)
    same = read_candidates(
        shared_data / "annotations/MIDOG++.json", PointsSlide("002.tiff", SLIDE.frame), include_non_mitotic=True
    )
    assert positions(one) == positions(same)


@pytest.mark.parametrize(
    ("text", "suffix", "slide", "said"),
    [
        ("x_um,y_um\n1,2\n", ".csv", NamedSlide(), "pass --slide: the coordinates are in um, which needs its mpp"),
        ("x,y\n1,2\n", ".geojson", NamedSlide(), "pass --slide: QuPath's frame and the boxes"),
        (
            "x\ty\tclass\n1\t2\tAMF\n",
            ".csv",
            NamedSlide(),
            "pass --slide: the coordinates count from the corner of its bounds",
        ),
        (
            "x,y,slide\n1,2,a.svs\n3,4,b.svs\n",
            ".csv",
            NamedSlide("", SLIDE.frame),
            "points of 2 slides; name one with --slide-name",
        ),
        ("x,y,slide\n1,2,a.svs\n", ".csv", NamedSlide("c.svs"), "no row is for slide 'c.svs'"),
        (
            "x,y\n1,2\nbad,4\n",
            ".csv",
            NamedSlide(),
            "1 row cannot be used (row 2: x is 'bad', not a number); correct them",
        ),
        ("x,y\n1,2\n99999,4\n", ".csv", SLIDE, "row 2: (99999, 4) lies off the slide"),
    ],
)
def test_what_cannot_be_converted_is_said(tmp_path: Path, text: str, suffix: str, slide: Any, said: str) -> None:
    path = tmp_path / "points.txt"
    path.write_text(text)
    with pytest.raises(CandidateError) as caught:
        converted(path, suffix, slide)
    assert said in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["points.txt"]


def test_rows_left_out_are_told_of_and_files_are_not_replaced(tmp_path: Path) -> None:
    path, out = tmp_path / "points.csv", tmp_path / "out.csv"
    path.write_text("x,y\n1,2\nbad,4\n")
    done = convert_points(path, out, SLIDE, skip_bad_points=True)
    assert (done.n_points, done.notes) == (1, ("1 row left out: row 2: x is 'bad', not a number",))
    with pytest.raises(OutputExistsError, match="exists already; pass --overwrite"):
        convert_points(path, out, SLIDE, skip_bad_points=True)
    with pytest.raises(ConfigError, match=r"the name must end in \.csv, \.tsv, \.parquet, \.geojson"):
        convert_points(path, tmp_path / "out.xlsx", SLIDE)


def test_only_the_raters_named_are_written_as_experts(tmp_path: Path) -> None:
    path = write_sliderunner(tmp_path / "a.sqlite", [Annotation([(1, 2)], said=[(1, 1), (3, 2)])])
    assert converted(path, ".csv", SLIDE).read_text() == '"id","x","y","label","slide"\n"1",1,2,"AMF","case_1.svs"\n'
    out = converted(path, ".csv", SLIDE, raters=("Ann",))
    assert read_candidates(out, SLIDE).votes == {"Ann": ("AMF",)}


def test_labels_that_are_not_written_are_told_of(tmp_path: Path) -> None:
    said = [[(1, 1), (2, 2)], [(1, 2)], [(2, 1)]]
    spots = [Annotation([(100 * k, 200)], said=words) for k, words in enumerate(said)]
    path = write_sliderunner(tmp_path / "two.sqlite", spots, persons=["Ann", "Bob"])
    written = convert_points(path, tmp_path / "a.csv", SLIDE)
    assert written.notes == ("holds AMF and NMF labels of 'Ann', 'Bob': name those who are experts with --raters",)
    written = convert_points(path, tmp_path / "c.csv", SLIDE, raters=("Ann",))
    not_written = "labels of {} are not written: a converted file holds AMF and NMF votes alone"
    assert written.notes == (not_written.format("'Bob'"),)
    written = convert_points(path, tmp_path / "b.csv", SLIDE, raters=("Ann", "Bob"))
    assert not [note for note in written.notes if "not written" in note]
    votes = read_candidates(tmp_path / "b.csv", SLIDE).votes
    assert votes == {"Ann": ("AMF", "NMF", None), "Bob": ("NMF", None, "AMF")}
    four = write_sliderunner(
        tmp_path / "four.sqlite", [Annotation([(1, 2)], said=[(1, 1), (2, 1), (3, 1), (4, 1)])], persons=list("ABCD")
    )
    (note,) = convert_points(four, tmp_path / "e.csv", SLIDE).notes
    assert note == "holds AMF and NMF labels of 'A', 'B', 'C', ...: name those who are experts with --raters"
    mitoses = write_sliderunner(
        tmp_path / "no votes.sqlite", spots, persons=["Ann", "B\x1b"], classes=("Mitosis", "Cell")
    )
    for raters in (None, ("Ann", "B\x1b")):
        written = convert_points(mitoses, tmp_path / "d.csv", SLIDE, raters=raters, overwrite=True)
        assert written.notes == (not_written.format(r"'Ann', 'B\x1b'"),)


def test_names_out_of_files_are_escaped_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    red = "\x1b[31mred\x1b]0;title\x07"
    path = write_sliderunner(tmp_path / "a.sqlite", [Annotation([(1, 2)], said=[(1, 1)])], persons=(red,))
    assert run(["points", "convert", str(path), str(tmp_path / "a.csv"), "--raters", "Ann"]) == 1
    assert r"\x1b[31mred\x1b]0;title\x07" in capsys.readouterr().err
    path = tmp_path / f"{red}.csv"
    path.write_text("x,y\n1,2\nbad,4\n")
    assert run(["points", "convert", str(path), str(tmp_path / "b.csv"), "--skip-bad-points"]) == 0
    told = capsys.readouterr().err
    assert told == "wsiamf: \\x1b[31mred\\x1b]0;title\\x07.csv: 1 row left out: row 2: x is 'bad', not a number\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".geojson"])
def test_points_of_the_raters_named_stay_a_persons(tmp_path: Path, suffix: str) -> None:
    boxes = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, 100], [x + 50, 100], [x + 50, 150], [x, 150], [x, 100]]],
            },
            "properties": {"objectType": "detection", "classification": "AMF", "metadata": {"expert_Ann": "AMF"}},
        }
        for x in (100, 110)  # near enough to be merged, were they a detector's
    ]
    (tmp_path / "points.txt").write_text(json.dumps(boxes))
    read = [
        read_candidates(path, SLIDE, raters=raters).table["status"].tolist()
        for path, raters in [
            (tmp_path / "points.txt", ("Ann",)),
            (converted(tmp_path / "points.txt", suffix, SLIDE, raters=("Ann",)), None),
        ]
    ]
    assert read == [["ok", "ok"]] * 2
    assert read_candidates(tmp_path / "points.txt", SLIDE).table["status"].tolist() == ["ok", "duplicate"]


@pytest.mark.parametrize(
    ("text", "placing", "placed"),
    [
        ("40,20", {"points_unit": "um"}, (160, 80)),
        ("80,40", {"points_scale": 2.0}, (160, 80)),
        ("80,160", {"points_swap_xy": True}, (160, 80)),
        ("160,9920", {"points_flip_y": True}, (160, 80)),
        ("0.02,0.04", {"points_unit": "mm", "points_swap_xy": True}, (160, 80)),
    ],
)
def test_placement_options_are_those_of_a_screening(
    tmp_path: Path, text: str, placing: dict[str, Any], placed: tuple[float, float]
) -> None:
    path = tmp_path / "points.txt"
    path.write_text(f"x,y\n{text}\n")
    back = read_candidates(converted(path, ".csv", SLIDE, **placing), SLIDE)
    assert positions(back) == [pytest.approx(placed)]
    assert positions(read_candidates(path, SLIDE, **placing)) == positions(back)
    facts = inspect_points(path, SLIDE, **placing)
    assert facts["unit"] == placing.get("points_unit", "px")
    assert facts["on_slide"]["extent"]["x"] == {"min": 160.0, "max": 160.0}


def test_placement_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.csv").write_text("x,y\n1,2\n")
    given, out = str(tmp_path / "p.csv"), tmp_path / "out.csv"
    assert run(["points", "convert", given, str(out), "--points-swap-xy", "--points-scale", "2"]) == 0
    assert read_candidates(out, SLIDE).table[["x", "y"]].to_numpy().tolist() == [
        [4.0, 2.0]
    ]  # no slide is needed for these
    for option, said in ((["--points-flip-y"], "--points-flip-y needs its height"), (["--points-unit", "mm"], "in mm")):
        assert run(["points", "convert", given, str(tmp_path / "other.csv"), *option]) == 1
        assert said in capsys.readouterr().err
        assert not (tmp_path / "other.csv").exists()
    assert run(["points", "inspect", given, "--points-swap-xy"]) == 1
    assert "--points-swap-xy: says where points lie on a slide" in capsys.readouterr().err


def test_mpp_without_a_slide_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["points", "inspect", str(tmp_path / "a.csv"), "--mpp", "0.25"]) == 2
    assert "--mpp belongs to --slide" in capsys.readouterr().err


def outlined(folder: Path, side: float) -> Path:
    corners = [(1000 + x * side, 1000 + y * side) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    places = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in corners)
    path = folder / "outlines.xml"
    path.write_text(
        "<ASAP_Annotations><Annotations>"
        '<Annotation Type="Dot" PartOfGroup="AMF"><Coordinates><Coordinate X="5" Y="5"/></Coordinates></Annotation>'
        f'<Annotation Type="Polygon" PartOfGroup="Tumor"><Coordinates>{places}</Coordinates></Annotation>'
        "</Annotations></ASAP_Annotations>"
    )
    return path


def test_an_outline_that_may_be_a_region_needs_the_slide(tmp_path: Path) -> None:
    path = outlined(tmp_path, 3000)
    with pytest.raises(CandidateError, match=r"pass --slide: some outlines may be regions of tissue"):
        converted(path, ".csv", NamedSlide())
    assert len(pd.read_csv(converted(path, ".csv", SLIDE))) == 1
    assert len(pd.read_csv(converted(outlined(tmp_path, 50), ".csv", NamedSlide()))) == 2  # a box round a figure


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"type": "Multiple points", "points": [{"point": [0.5, 0.5, 0]}]}'),
        ("a.ndpa", "<annotations></annotations>"),
    ],
)
def test_a_format_with_its_own_unit_takes_no_other(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    for frame in (SLIDE.frame, NamedSlide().frame):
        slide = NamedSlide("a", replace(frame, centre_offset_nm=(0.0, 0.0)))
        with pytest.raises(ConfigError, match=r"--points-unit mm: .* has a unit of its own"):
            inspect_points(tmp_path / name, slide, points_unit="mm")


def test_words_of_a_file_do_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y,label,expert1\n1,2,\x1b[31mred,\x1b]0;title\x07\n")
    result = CliRunner().invoke(wsiamf, ["points", "inspect", str(tmp_path / "a.csv")], catch_exceptions=False)
    assert "\\x1b[31mred 1" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
