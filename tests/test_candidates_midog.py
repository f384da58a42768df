"""MIDOG's annotation files: the real ones, and each trap of their layout on its own."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsiamf.candidates import Candidates, read_candidates
from wsiamf.candidates.formats import READERS
from wsiamf.errors import CandidateError
from wsiamf.geometry import Bounds, SlideFrame

MIDOG25 = "annotations/MIDOG25_Atypical_Classification_Train_Set.csv"
MIDOG_PP = "annotations/MIDOG++.json"


@dataclass(frozen=True)
class PointsSlide:
    name: str
    frame: SlideFrame


def slide_of(name: str, width: int = 7215, height: int = 5412) -> PointsSlide:
    return PointsSlide(name, SlideFrame(width, height, 0.25, Bounds(0, 0, width, height)))


EVERYTHING = slide_of("all.tiff", 100_000, 100_000)


@pytest.fixture(scope="module")
def midog_pp(shared_data: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shared_data / MIDOG_PP).read_text())
    return content


@pytest.fixture(scope="module")
def midog25_rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / MIDOG25).open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def all_boxes(midog_pp: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    """All 26,286 boxes of MIDOG++ as if they lay in one image."""
    path = tmp_path_factory.mktemp("midog") / "all.json"
    image = {"id": 1, "file_name": "all.tiff", "width": 100_000, "height": 100_000}
    annotations = [annotation | {"image_id": 1} for annotation in midog_pp["annotations"]]
    path.write_text(json.dumps(midog_pp | {"images": [image], "annotations": annotations}))
    return read_candidates(path, EVERYTHING, include_non_mitotic=True)


def test_every_box_of_midog_pp_is_read_by_its_corners(all_boxes: Candidates, midog_pp: dict[str, Any]) -> None:
    corners = np.asarray([annotation["bbox"] for annotation in midog_pp["annotations"]], dtype=np.float64)
    expected = corners[:, :2] + 25  # every box is 50 x 50
    table = all_boxes.table
    np.testing.assert_array_equal(table[["x", "y"]], np.maximum(expected, 0.0))
    assert int((corners[:, :2] < 0).any(axis=1).sum()) == 169
    assert "2 annotations up to 25 px outside the slide moved to its edge" in all_boxes.notes
    assert table["status"].value_counts().to_dict() == {"non_mitotic": 14_349, "ok": 11_937}
    assert table["source_label"].value_counts().to_dict() == {"non-mitotic": 14_349, "mitotic figure": 11_937}
    assert table["by_person"].all()
    assert table["candidate_id"].tolist() == [str(a["id"]) for a in midog_pp["annotations"]]
    assert table["source_row"].tolist() == list(range(1, 26_287))


def test_midog25_coordinates_are_midog_pp_box_centres(
    shared_data: Path, midog_pp: dict[str, Any], midog25_rows: list[dict[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "all.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(midog25_rows[0]))
        writer.writeheader()
        writer.writerows(row | {"filename": "all.tiff"} for row in midog25_rows)
    found = read_candidates(path, EVERYTHING)
    assert found.format == "midog25-csv"
    table = found.table
    assert len(table) == 11_937
    assert Counter(table["source_label"]) == {"NMF": 10_189, "AMF": 1_748}
    assert set(table["status"]) == {"ok"}
    names = {image["id"]: image["file_name"] for image in midog_pp["images"]}
    centres: dict[str, list[tuple[float, float]]] = {}
    for annotation in midog_pp["annotations"]:
        left, top, right, bottom = annotation["bbox"]
        centre = max((left + right) / 2, 0.0), max((top + bottom) / 2, 0.0)
        centres.setdefault(names[annotation["image_id"]], []).append(centre)
    gaps = [
        min(max(abs(x - cx), abs(y - cy)) for cx, cy in centres[row["filename"]])
        for row, x, y in zip(midog25_rows, table["x"], table["y"], strict=True)
    ]
    assert sum(gap == 0 for gap in gaps) == 11_594
    assert max(gaps) == 0.5  # the centres of clipped boxes fall on half pixels, and the CSV rounds them


@pytest.mark.parametrize("name", ["002.tiff", "305.tiff", "547.tiff"])
def test_one_slide_of_both_files(
    shared_data: Path, midog_pp: dict[str, Any], midog25_rows: list[dict[str, str]], name: str
) -> None:
    image = next(image for image in midog_pp["images"] if image["file_name"] == name)
    slide = slide_of(name, image["width"], image["height"])
    boxes = read_candidates(shared_data / MIDOG_PP, slide)
    rows = read_candidates(shared_data / MIDOG25, slide)
    of_image = [a for a in midog_pp["annotations"] if a["image_id"] == image["id"]]
    n_mitotic = sum(a["category_id"] == 1 for a in of_image)
    assert n_mitotic > 0
    assert len(boxes.table) == len(rows.table) == n_mitotic
    assert boxes.n_excluded_non_mitotic == len(of_image) - n_mitotic
    assert (boxes.format, rows.format) == ("midog-json", "midog25-csv")
    assert rows.table["candidate_id"].tolist() == [r["image_id"] for r in midog25_rows if r["filename"] == name]
    assert rows.table["source_label"].tolist() == [r["majority"] for r in midog25_rows if r["filename"] == name]
    assert set(boxes.table["status"]) | set(rows.table["status"]) == {"ok"}  # never merged, people drew them
    assert boxes.table["x"].between(0, slide.frame.width, inclusive="left").all()


def test_half_pixel_centres_stay(all_boxes: Candidates) -> None:
    figures = all_boxes.table[all_boxes.table["status"] == "ok"]
    halves = (figures["x"] % 1 == 0.5) | (figures["y"] % 1 == 0.5)
    assert int(halves.sum()) == 343


def test_an_image_without_annotations_is_no_candidates(shared_data: Path) -> None:
    for file in ("annotations/MIDOG.json", MIDOG_PP):
        found = read_candidates(shared_data / file, slide_of("151.tiff", 6218, 4620))
        assert (len(found.table), found.notes, found.format) == (0, (), "midog-json")


def test_a_slide_that_is_not_listed_names_the_nearest(shared_data: Path) -> None:
    for file in (MIDOG_PP, MIDOG25):
        with pytest.raises(CandidateError, match=r"no row is for slide '5477.tiff'; the nearest .* is '547.tiff'"):
            read_candidates(shared_data / file, slide_of("5477.tiff"))


def test_a_slide_of_another_size_is_told_about(shared_data: Path) -> None:
    found = read_candidates(shared_data / MIDOG_PP, slide_of("001.tiff", 14_430, 10_824))
    assert any("gives 001.tiff as 7215 x 5412 px, the slide is 14430 x 10824 px" in note for note in found.notes)


def test_each_real_file_is_of_one_format(shared_data: Path) -> None:
    expected = {
        "annotations/MIDOG.json": "midog-json",
        MIDOG_PP: "midog-json",
        MIDOG25: "midog25-csv",
        "crops/AMi-Br/AMI-BR.csv": "ami-br-csv",
        "annotations/qupath05_export.geojson": "qupath-geojson",
        "annotations/MIDOG.sqlite": "sliderunner",
    }
    for file, name in expected.items():
        with (shared_data / file).open("rb") as stream:
            head = stream.read(1 << 16)
        first = next((reader.name for reader in READERS if reader.sniff(shared_data / file, head)), None)
        assert first == name, file


def test_ami_br_is_a_plain_table(shared_data: Path) -> None:
    with (shared_data / "crops/AMi-Br/AMI-BR.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["slide"] == "002.tiff"]
    found = read_candidates(shared_data / "crops/AMi-Br/AMI-BR.csv", slide_of("002.tiff"))
    assert found.table[["x", "y"]].to_numpy().tolist() == [[float(r["x"]), float(r["y"])] for r in rows]


def coco(*boxes: Any, **extra: Any) -> dict[str, Any]:
    """A COCO-like file of one image, 1000 x 800 px."""
    annotations = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes, start=1)]
    image = {"id": 1, "file_name": "a.tiff", "width": 1000, "height": 800}
    categories = [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "not mitotic figure"}]
    return {"images": [image], "annotations": annotations, "categories": categories} | extra


def read(folder: Path, content: Any, **options: Any) -> Candidates:
    path = folder / "points.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_candidates(path, slide_of("a.tiff", 1000, 800), **options)


@pytest.mark.parametrize(
    ("boxes", "first"),
    [
        ([[100, 200, 150, 250]], (125.0, 225.0)),
        ([[-20, 200, 30, 250], [300, 300, 350, 350]], (5.0, 225.0)),
        ([[100, 200, 50, 50]], (125.0, 225.0)),
        ([[10, 20, 50, 50], [600, 700, 50, 50]], (35.0, 45.0)),
        ([[10, 20, 50, 50], [11, 40, 50, 50]], (35.0, 45.0)),  # both readings fit; squares of one size are the better
        ([[975, 400, 50, 50], [600, 700, 50, 50]], (1000.0 - 2**-43, 425.0)),  # hangs over the right edge
        ([[930, 770, 980, 820]], (955.0, 795.0)),
    ],
)
def test_corners_and_sizes_are_told_apart(tmp_path: Path, boxes: list[Any], first: tuple[float, float]) -> None:
    table = read(tmp_path, coco(*boxes)).table
    assert (table["x"][0], table["y"][0]) == first


def test_coco_keys_decide_where_both_readings_fit(tmp_path: Path) -> None:
    content = coco([10, 10, 50, 50])
    assert read(tmp_path, content).table["x"].tolist() == [30.0]
    content["annotations"][0]["area"] = 2500
    assert read(tmp_path, content).table["x"].tolist() == [35.0]
    content["annotations"][0]["area"] = 1600
    assert read(tmp_path, content).table["x"].tolist() == [30.0]
    del content["annotations"][0]["area"]
    content["annotations"][0]["iscrowd"] = 0
    assert read(tmp_path, content).table["x"].tolist() == [35.0]


def test_coco_keys_do_not_outweigh_the_boxes(tmp_path: Path) -> None:
    content = coco([100, 200, 150, 250], [300, 310, 350, 360])
    del content["images"][0]["width"], content["images"][0]["height"]
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    with pytest.raises(CandidateError, match=r"may be two corners, as their likeness says.*state 'area'"):
        read(tmp_path, content)
    content["annotations"][0]["bbox"] = [5000, 6000, 5050, 6050]  # no figure is 5,000 px wide
    assert read(tmp_path, content, skip_bad_points=True).table["x"][1] == 325.0


def test_ids_that_a_program_wrote_as_floats(tmp_path: Path) -> None:
    content = coco([100, 200, 150, 250], [300, 310, 350, 360])
    content["annotations"][0] |= {"category_id": 2.0, "image_id": 1.0}
    found = read(tmp_path, content, include_non_mitotic=True)
    assert found.table["source_label"].tolist() == ["non-mitotic", "mitotic figure"]


def test_whole_of_midog_pp_turned_into_coco(midog_pp: dict[str, Any], tmp_path: Path) -> None:
    def sized(box: list[float]) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    annotations = [a | {"bbox": sized(a["bbox"])} for a in midog_pp["annotations"]]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(midog_pp | {"annotations": annotations}))
    expected = [a["bbox"][0] + 25.0 for a in midog_pp["annotations"] if a["image_id"] == 2 and a["category_id"] == 1]
    assert len(expected) > 0
    assert read_candidates(path, slide_of("002.tiff")).table["x"].tolist() == expected


def test_categories_go_by_name(tmp_path: Path) -> None:
    content = coco([100, 200, 150, 250], [300, 200, 350, 250], [500, 200, 550, 250])
    content["categories"] = [{"id": 1, "name": "Hard negative"}, {"id": 2, "name": "Mitosis"}]
    content["annotations"][1]["category_id"] = 2
    content["annotations"][2]["category_id"] = 9
    found = read(tmp_path, content)
    assert found.table["source_label"].tolist() == ["mitotic figure", "category 9"]
    assert found.n_excluded_non_mitotic == 1
    del content["categories"]
    for annotation in content["annotations"]:
        annotation["id"] = None
    assert read(tmp_path, content).table["candidate_id"].tolist() == ["1", "3"]


def test_annotations_with_scores_are_detections(tmp_path: Path) -> None:
    content = coco([100, 200, 150, 250], [101, 200, 151, 250])
    assert read(tmp_path, content).table["status"].tolist() == ["ok", "ok"]
    for annotation, score in zip(content["annotations"], (0.25, 0.75), strict=True):
        annotation["score"] = score
    found = read(tmp_path, content, min_score=0.1)
    assert found.table["duplicate_of"].tolist() == ["2", None]
    assert found.table["score"].tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (None, "annotation 2: bbox is None, no box"),
        ([1, 2, 3], "annotation 2: bbox is [1, 2, 3], no box"),
        ([1, 2, "3", 4], "annotation 2: bbox is [1, 2, '3', 4], no box"),
        ([500, 500, 400, 550], "annotation 2: bbox is [500, 500, 400, 550], no box"),
        ([1, 2, True, 4], "no box"),
        ([1, 2, 10**400, 4], "no box"),
        ([float("nan"), 2, 3, 4], "no box"),
        ([4000, 20, 4050, 70], "annotation 2: (4025, 45) lies off the slide (1000 x 800 px)"),
    ],
)
def test_boxes_that_are_none(tmp_path: Path, box: Any, said: str) -> None:
    content = coco([600, 200, 650, 250], box, [700, 700, 750, 750])
    with pytest.raises(CandidateError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert "1 annotation cannot be used" in str(caught.value)
    found = read(tmp_path, content, skip_bad_points=True)
    assert found.table["status"].tolist() == ["ok", "bad_point", "ok"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"images": [', "not valid JSON"),
        ('{"images": ' + "[" * 100_000, "not valid JSON"),
        ('{"images": [], "annotations": [' + "9" * 5000 + "]}", "not valid JSON"),
        ('{"images": {}, "annotations": []}', "has no list 'images'"),
        ('{"images": [], "categories": []}', "has no list 'annotations'"),
        (coco() | {"annotations": [7]}, "entry 1 of 'annotations' is 7; expected an object"),
        (coco() | {"images": [{"id": 1}]}, "image 1 needs an id and a file_name"),
        (coco() | {"images": [{"id": 1, "file_name": "a.tiff"}] * 2}, "'a.tiff' is listed 2 times"),
        (coco() | {"images": []}, "it names none"),
        (coco([1, 2, 51, 52]) | {"categories": [{"id": [1]}]}, "category 1 needs an id and a name"),
        ('{"images": [], "type": 1, "annotations": "\\ud800"}', "has no list 'annotations'"),
    ],
)
def test_malformed_files(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(CandidateError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_midog25_without_its_columns_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(CandidateError, match="expected filename, coordinateX and coordinateY"):
        read_candidates(path, slide_of("a.tiff"), points_format="midog25-csv")
    path.write_text("filename,coordinateX,coordinateY\na.tiff,12,here\n")
    with pytest.raises(CandidateError, match="row 1: coordinateY is 'here', not a number"):
        read_candidates(path, slide_of("a.tiff"))
