"""What of a points file is one slide's own, and the one parse of a file that many slides share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.points_fuzz import bounded_memory
from tests.sliderunner_files import CIRCLE, Annotation, write_sliderunner
from wsiamf.candidates import delimited, midog_json, parquet_points, read_candidates
from wsiamf.candidates.formats import reader_for
from wsiamf.candidates.own_rows import json_pieces, own_rows_sha256, slides_in
from wsiamf.candidates.parsed_file import forget_last_file
from wsiamf.errors import CandidateError
from wsiamf.files import sha256_file
from wsiamf.geometry import Bounds, SlideFrame

Rows = list[tuple[str, float, float, float]]
ROWS: Rows = [
    ("a.svs", 1, 2, 0.5),
    ("b.svs", 3, 4, 0.6),
    ("b.svs", 5, 6, 0.7),
    ("a.svs", 7, 8, 0.8),
    ("c.svs", 9, 9, 0.1),
]


FRAME = SlideFrame(2000, 1000, 0.25, Bounds(0, 0, 2000, 1000))
IMAGES = [{"id": 1, "file_name": "a.tiff"}, {"id": 2, "file_name": "b.tiff"}]


@dataclass(frozen=True)
class PointsSlide:
    name: str
    frame: SlideFrame = FRAME


def write_csv(path: Path, rows: Rows) -> Path:
    path.write_text("slide,x,y,score\n" + "".join(f"{s},{x},{y},{p}\n" for s, x, y, p in rows))
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    pd.DataFrame(rows, columns=["slide", "x", "y", "score"]).to_parquet(path)
    return path


def write_json(path: Path, rows: Rows) -> Path:
    names = sorted({row[0] for row in rows})
    annotations = [
        {"id": k, "image_id": names.index(s), "bbox": [x, y, x + 50, y + 50], "category_id": 1, "score": p}
        for k, (s, x, y, p) in enumerate(rows)
    ]
    return write_midog(path, [{"id": k, "file_name": name} for k, name in enumerate(names)], annotations)


def write_midog(path: Path, images: list[Any], annotations: list[Any], categories: Any = None) -> Path:
    categories = [{"id": 1, "name": "mitotic figure"}] if categories is None else categories
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {"csv": write_csv, "parquet": write_parquet, "json": write_json}


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Rows], Path]:
    return lambda rows: WRITERS[request.param](tmp_path / f"points.{request.param}", rows)


def own(path: Path, slide: str = "a.svs") -> str:
    return own_rows_sha256(path, slide, None)


def names_in(path: Path) -> tuple[str, ...]:
    names = slides_in(path)
    assert names is not None
    return names.known


def settled(path: Path) -> Path:
    """As a file that was written a while ago: one that may still be changing is not kept."""
    os.utime(path, ns=(10**18, 10**18))
    return path


class TestHash:
    def test_rows_of_other_slides_may_change_and_be_permuted(self, written: Callable[[Rows], Path]) -> None:
        before = own(written(ROWS))
        assert own(written([ROWS[0], ROWS[2], ROWS[1], ROWS[3], ("d.svs", 0, 1, 0.2), ROWS[4]])) == before
        assert own(written([ROWS[0], ("b.svs", 30, 40, 0.1), ROWS[4], ROWS[3]])) == before

    def test_own_rows_and_their_numbers_count(self, written: Callable[[Rows], Path]) -> None:
        hashes = [own(written(ROWS))]
        for rows in (
            [("a.svs", 1.0, 2.0, 0.51), *ROWS[1:]],
            ROWS[:3],
            [*ROWS, ("a.svs", 4.0, 4.0, 0.4)],
            [*ROWS[1:], ROWS[0]],
            [ROWS[3], *ROWS[1:3], ROWS[0]],
        ):
            hashes.append(own(written(rows)))
        assert len(set(hashes)) == len(hashes)

    def test_a_file_that_names_no_slides_counts_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "points.csv"
        for text in ("x,y\n1,2\n", "slide,x,y\n,1,2\n", "slide,x,y\n"):
            path.write_text(text)
            assert own(path) == own(path, "b.svs") == sha256_file(path)
            assert slides_in(path) is None

    def test_columns_that_decide_how_rows_are_read_count(self, tmp_path: Path) -> None:
        path = tmp_path / "points.csv"
        path.write_text("slide,x,y,label\na.svs,1,2,AMF\nb.svs,3,4,AMF\n")
        before = own(path)
        path.write_text("slide,x,y,label,score\na.svs,1,2,AMF,\nb.svs,3,4,AMF,0.5\n")
        assert own(path) != before  # with scores no label is a person's

    def test_a_slide_that_is_not_listed(self, written: Callable[[Rows], Path]) -> None:
        with pytest.raises(
            CandidateError, match=r"no row is for slide 'aa\.svs'; the nearest of its 3 names is 'a\.svs'"
        ):
            own(written(ROWS), "aa.svs")

    def test_names(self, written: Callable[[Rows], Path]) -> None:
        assert names_in(written(ROWS)) == ("a.svs", "b.svs", "c.svs")


def write_database(path: Path, *annotations: Annotation, **names: Any) -> Path:
    path.unlink(missing_ok=True)
    return write_sliderunner(path, annotations, slides=("a.svs", "b.svs"), **names)


class TestSlideRunner:
    MINE = Annotation([(10, 20)], slide=1, said=[(1, 1), (2, 2)])
    THEIRS = Annotation([(30, 40)], slide=2, said=[(1, 1)])

    def test_annotations_of_other_slides_may_change(self, tmp_path: Path) -> None:
        path = write_database(tmp_path / "p.sqlite", self.MINE, self.THEIRS)
        assert names_in(path) == ("a.svs", "b.svs")
        before, theirs = own(path), own(path, "b.svs")
        moved = replace(self.THEIRS, points=[(31, 40)], agreed=2)
        path = write_database(path, self.MINE, moved, replace(moved, said=[(1, 1), (1, 2)]))
        assert own(path) == before
        assert own(path, "b.svs") != theirs

    def test_all_that_candidates_follow_from_counts(self, tmp_path: Path) -> None:
        path = tmp_path / "p.sqlite"
        hashes = [
            own(write_database(path, mine, self.THEIRS, **names))
            for mine, names in (
                (self.MINE, {}),
                (replace(self.MINE, points=[(10, 21)]), {}),
                (replace(self.MINE, agreed=2), {}),
                (replace(self.MINE, kind=CIRCLE, points=[(8, 18), (12, 22)]), {}),
                (replace(self.MINE, deleted=1), {}),
                (replace(self.MINE, said=[(1, 1), (2, 1)]), {}),
                (replace(self.MINE, said=[(1, 1), (2, 2), (2, 1)]), {}),
                (replace(self.MINE, points=[(b"10", 20)]), {}),
                (self.MINE, {"classes": ("AMF", "other")}),
                (self.MINE, {"persons": ("Ann", "Eve", "RetinaNet")}),
            )
        ]
        assert len(set(hashes)) == len(hashes)

    def test_a_slide_that_is_not_listed_or_twice(self, tmp_path: Path) -> None:
        path = write_database(tmp_path / "p.sqlite", self.MINE)
        with pytest.raises(CandidateError, match=r"no row is for slide 'c\.svs'"):
            own(path, "c.svs")
        twice = write_sliderunner(tmp_path / "twice.sqlite", [self.MINE], slides=("a.svs", "a.svs"))
        with pytest.raises(CandidateError, match="listed 2 times"):
            own(twice)


TABLES = {
    "ami-br-csv": "slide,x,y,majority_atypical,expert1_atypical\na.svs,1,2,True,{mine}\nb.svs,3,4,True,{theirs}\n",
    "qupath-measurements": "Image\tCentroid X px\tCentroid Y px\na.svs\t1\t{mine}\nb.svs\t3\t{theirs}\n",
    "csv": "image_name,cx,cy,expert1\na.svs,1,2,{mine}\nb.svs,3,4,{theirs}\n",
}
CELLS = {"ami-br-csv": ("True", "False"), "qupath-measurements": ("4", "5"), "csv": ("AMF", "NMF")}


@pytest.mark.parametrize("name", TABLES)
def test_rows_of_tables_of_other_programs(tmp_path: Path, name: str) -> None:
    path, (one, other) = tmp_path / "points.txt", CELLS[name]

    def written(mine: str, theirs: str) -> str:
        path.write_text(TABLES[name].format(mine=mine, theirs=theirs))
        return own(path)

    before = written(one, one)
    assert reader_for(path, None).name == name
    assert names_in(path) == ("a.svs", "b.svs")
    assert written(one, other) == before
    assert written(other, one) != before


def test_a_format_that_names_no_slides_counts_whole(tmp_path: Path) -> None:
    path = tmp_path / "points.geojson"
    path.write_text('{"type": "Point", "coordinates": [1, 2]}')
    assert slides_in(path) is None
    assert own(path) == own(path, "b.svs") == sha256_file(path)


class TestMidogJson:
    def written(self, folder: Path, mine: list[Any], theirs: list[Any], categories: Any = None) -> str:
        annotations = [{"image_id": 1, "category_id": 1, "bbox": box} for box in mine]
        annotations += [{"image_id": 2, "category_id": 2, "bbox": box} for box in theirs]
        return own(write_midog(folder / "p.json", IMAGES, annotations, categories), "a.tiff")

    def test_the_names_of_its_own_labels_count(self, tmp_path: Path) -> None:
        boxes = [[0, 0, 50, 50]], [[60, 60, 110, 110]]
        names = [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "x"}]
        before = self.written(tmp_path, *boxes, names)
        assert self.written(tmp_path, *boxes, [names[0], {"id": 2, "name": "y"}]) == before
        assert self.written(tmp_path, *boxes, [{"id": 1, "name": "non-mitotic"}, names[1]]) != before

    def test_the_kind_of_box_that_other_images_decide_counts(self, tmp_path: Path) -> None:
        mine = [[20, 20, 50, 50]]  # two corners, or a corner and a size
        corners = self.written(tmp_path, mine, [[900, 900, 950, 950]])
        assert self.written(tmp_path, mine, [[800, 800, 850, 850], [600, 600, 650, 650]]) == corners
        assert self.written(tmp_path, mine, [[900, 900, 50, 50]] * 3) != corners

    def test_whether_there_are_scores_counts(self, tmp_path: Path) -> None:
        annotations: list[dict[str, Any]] = [{"image_id": k, "category_id": 1, "bbox": [0, 0, 50, 50]} for k in (1, 2)]
        before = own(write_midog(tmp_path / "p.json", IMAGES, annotations), "a.tiff")
        annotations[1]["score"] = 0.5
        assert own(write_midog(tmp_path / "p.json", IMAGES, annotations), "a.tiff") != before


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_only_what_is_own_moves_the_hash(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any change of rows that are another slide's leaves the hash and the candidates; any change of own ones moves it."""
    folder = tmp_path_factory.mktemp("own")
    number = st.integers(0, 900).map(float)
    row = st.tuples(st.sampled_from(["a.svs", "b.svs", "c.svs"]), number, number, st.sampled_from([0.1, 0.5, 0.9]))
    rows = [ROWS[0], *data.draw(st.lists(row, max_size=8)), ROWS[1]]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    others = [r for r in rows if r[0] != "a.svs"]
    others = [others[k] for k in rng.permutation(len(others))]
    moved = [r if r[0] == "a.svs" else (others[k % len(others)][0], r[1] + 1, r[2], 0.3) for k, r in enumerate(rows)]
    moved += others
    k = int(rng.choice([k for k, r in enumerate(rows) if r[0] == "a.svs"]))
    changed = [*rows[:k], ("a.svs", rows[k][1] + 1, *rows[k][2:]), *rows[k + 1 :]]
    slide = PointsSlide("a.svs")
    for name, write in WRITERS.items():
        path = write(folder / f"p.{name}", rows)
        before, table = own(path), read_candidates(path, slide).table
        write(path, moved)
        assert own(path) == before
        pd.testing.assert_frame_equal(
            read_candidates(path, slide).table.drop(columns="candidate_id"), table.drop(columns="candidate_id")
        )
        assert own(write(path, changed)) != before


class TestOneParse:
    PARSERS = ((delimited, "read_delimited"), (midog_json, "_parse"), (parquet_points, "_read_table"))

    @pytest.fixture
    def parsed(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files parsed, in order."""
        paths: list[Path] = []
        for module, name in self.PARSERS:
            real = getattr(module, name)

            def counting(path: Path, *rest: Any, _real: Callable[..., Any] = real) -> Any:
                paths.append(path)
                return _real(path, *rest)

            monkeypatch.setattr(module, name, counting)
        return paths

    def test_slides_of_one_file_parse_it_once(self, written: Callable[[Rows], Path], parsed: list[Path]) -> None:
        path = settled(written(ROWS))
        for slide in ("a.svs", "b.svs", "c.svs", "a.svs"):
            read_candidates(path, PointsSlide(slide))
            own(path, slide)
        assert parsed == [path]

    def test_what_is_kept_is_not_changed_by_its_readers(self, written: Callable[[Rows], Path]) -> None:
        path = settled(written(ROWS))
        first = read_candidates(path, PointsSlide("b.svs"), merge_um=0).table
        read_candidates(path, PointsSlide("a.svs"), min_score=0.6, points_frame="qupath")
        second = read_candidates(path, PointsSlide("b.svs"), merge_um=0).table
        pd.testing.assert_frame_equal(first, second)
        path.rename(path.with_stem("again"))
        pd.testing.assert_frame_equal(
            read_candidates(path.with_stem("again"), PointsSlide("b.svs"), merge_um=0).table, first
        )

    def test_a_changed_file_is_parsed_again(self, written: Callable[[Rows], Path], parsed: list[Path]) -> None:
        before = own(settled(written(ROWS)))
        path = written([("a.svs", 1, 3, 0.5), *ROWS[1:]])
        assert own(path) != before
        assert own(path) != before
        assert len(parsed) == 3  # of a file just written nothing is kept: it may change again without another time

    def test_another_file_takes_its_place(self, tmp_path: Path, parsed: list[Path]) -> None:
        first, second = (settled(write_csv(tmp_path / name, ROWS)) for name in ("1.csv", "2.csv"))
        for path in (first, second, first):
            own(path)
        assert parsed == [first, second, first]

    def test_what_is_kept_can_be_freed(self, tmp_path: Path, parsed: list[Path]) -> None:
        path = settled(write_csv(tmp_path / "1.csv", ROWS))
        own(path)
        forget_last_file()
        own(path)
        assert parsed == [path, path]

    def test_a_file_for_one_slide_is_not_kept(self, tmp_path: Path, parsed: list[Path]) -> None:
        path = settled(write_csv(tmp_path / "1.csv", ROWS[:1]))
        own(path)
        own(path)
        assert parsed == [path, path]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.just([1.5] * 17),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=_JSON)
def test_the_pieces_are_the_whole_json(value: Any) -> None:
    assert "".join(json_pieces(value)) == json.dumps(value, sort_keys=True)


def test_long_lists_are_the_whole_json_too() -> None:
    numbers = np.arange(10_000) / 3
    value = {"b": ["text", numbers], "a": [[1, 2, "c"]] * 5_000, "c": numbers[:0]}
    whole = json.dumps({"a": value["a"], "b": ["text", numbers.tolist()], "c": []})
    assert "".join(json_pieces(value)) == whole


def test_one_long_cell_does_not_widen_the_others(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    rows = "".join(f"a.svs,{row},{row},NMF\n" for row in range(20_000))
    path.write_text(f"slide,x,y,label\na.svs,1,1,{'L' * 30_000}\n{rows}b.svs,1,1,NMF\n")
    with bounded_memory(60):
        first = own_rows_sha256(path, "a.svs", None)
    assert (
        first == "57b9b65ef7b6bdc6c70c76e5711d3718cc0f0985d0d7fea916eb4598f77ebb91"
    )  # as it was before rows were hashed in pieces
