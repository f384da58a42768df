"""Whatever the bytes: every reader gives points or one line, in bounded memory and without waiting."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.points_fuzz import LONG, SHORT, SLIDE, bounded_memory, fuzz, hostile_files, refusal, write_zip
from tests.shared_pages import share_pages
from tests.sliderunner_files import AREA, POLYGON, Annotation, write_sliderunner
from wsiamf.candidates import read_candidates
from wsiamf.candidates.formats import reader_for
from wsiamf.errors import CandidateError

_SLIDERUNNER = ("Slides", "Persons", "Classes", "Annotations", "Annotations_coordinates", "Annotations_label")
FEATURES = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "3f2b6c1e-8a77-4d0e-9b52-0c6f1a2b3c4d",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[100, 100], [150, 100], [150, 150], [100, 150], [100, 100]]],
            },
            "properties": {
                "objectType": "detection",
                "classification": {"names": ["AMF", "Hard"], "color": [1, 2, 3]},
                "measurements": {"Detector score": 0.5, "P(hard)": "NaN"},
            },
            "childObjects": [
                {"type": "Feature", "id": "b", "geometry": {"type": "Point", "coordinates": [5, 6]}, "properties": {}}
            ],
        },
        {
            "type": "Feature",
            "id": "c",
            "geometry": {"type": "MultiPoint", "coordinates": [[500.5, 600.25], [700, 800]]},
            "properties": {"classification": "NMF", "measurements": [{"name": "score", "value": 0.25}]},
        },
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[[[9, 9], [30, 9], [30, 30], [9, 9]]], [[[2000, 9], [2020, 9], [2020, 40], [2000, 9]]]],
            },
            "properties": {"objectType": "annotation", "classification": {"name": "mitosis"}},
        },
    ],
}
CSV = (
    b"id,x,y,x_um,y_um,score,label,slide,expert1,expert_Ann\n"
    b"a,100,200,25,50,0.5,AMF,case_1.svs,AMF,NMF\nb,300,400,75,100,,NMF,case_1.svs,,x\n"
)
AMI_BR = (
    b",slide,dataset,uid,x,y,expert1_atypical,expert2_atypical,expert3_atypical,majority_atypical\n"
    b"0,case_1.svs,MIDOG21,6,4422,216,False,True,,False\n"
)
MIDOG25 = b"""image_id,filename,coordinateX,coordinateY,expert1,expert2,expert3,majority
1.png,case_1.svs,5047,459,NMF,AMF,,NMF
"""
POINTS_TSV = b"x\ty\tclass\tname\tcolor\n100.5\t200.25\tAMF\tone\t-1\n300\t400\t\t\t\n"
MEASUREMENTS = (
    "Image\tObject ID\tObject type\tClassification\tCentroid X µm\tCentroid Y µm\tDetection probability\n"
    "case_1.svs\ta\tDetection\tAMF\t25\t50\t0.5\n"
).encode()
MIDOG = json.dumps(
    {
        "images": [{"id": 1, "file_name": "case_1.svs", "width": 20_000, "height": 10_000}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 60, 70]}],
        "categories": [{"id": 1, "name": "mitotic figure"}],
    }
).encode()
TEXTS = {
    "csv": CSV,
    "ami-br-csv": AMI_BR,
    "midog25-csv": MIDOG25,
    "qupath-points": POINTS_TSV,
    "qupath-measurements": MEASUREMENTS,
    "midog-json": MIDOG,
    "qupath-geojson": json.dumps(FEATURES).encode(),
}


def database(folder: Path) -> bytes:
    annotations = [
        Annotation([(100, 200)], said=[(1, 1), (2, 2)]),
        Annotation([(300, 400), (320, 420)], AREA, agreed=2),
        Annotation([(500, 500), (540, 500), (540, 540)], POLYGON, agreed=0, deleted=0),
    ]
    return write_sliderunner(folder / "seed.sqlite", annotations).read_bytes()


def parquet(folder: Path) -> bytes:
    path = folder / "seed.parquet"
    pd.DataFrame({"x": [1.0, 300.0], "y": [2.0, 400.0], "id": ["a", "b"], "expert1": ["AMF", None]}).to_parquet(path)
    return path.read_bytes()


@pytest.mark.parametrize("points_format", [*TEXTS, "sliderunner", "parquet"])
@pytest.mark.parametrize("n", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_spoilt_files_give_points_or_one_line(tmp_path: Path, points_format: str, n: int) -> None:
    made: dict[str, Callable[[Path], bytes]] = {"sliderunner": database, "parquet": parquet}
    seed = made[points_format](tmp_path) if points_format in made else TEXTS[points_format]
    fuzz(tmp_path / "points", [seed], n=n, points_format=points_format)


@pytest.mark.parametrize("n", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_spoilt_files_whose_format_is_looked_for(tmp_path: Path, n: int) -> None:
    fuzz(tmp_path / "points", [*TEXTS.values(), database(tmp_path), parquet(tmp_path)], n=n)


@pytest.mark.parametrize("n", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_spoilt_archives(tmp_path: Path, n: int) -> None:
    geojson = TEXTS["qupath-geojson"]
    zipped = write_zip(tmp_path / "seed.zip", {"objects.geojson": geojson}).read_bytes()
    fuzz(tmp_path / "points", [zipped, gzip.compress(geojson, mtime=0)], n=n, points_format="qupath-geojson")


@pytest.mark.parametrize("points_format", [None, *TEXTS, "sliderunner", "parquet"])
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, points_format: str | None) -> None:
    for name, path in hostile_files(tmp_path).items():
        said = refusal(path, points_format=points_format)
        if name in ("folder", "fifo"):
            assert said.startswith("is not a file")
        if name in ("empty", "blanks"):
            assert said.startswith("is empty")


@pytest.mark.parametrize("children", [12, 120])
@pytest.mark.parametrize(
    ("table", "points_format"), [(t, "sliderunner") for t in _SLIDERUNNER] + [("annotations", "tiatoolbox-db")]
)
def test_pages_that_share_children_give_no_rows_without_end(
    tmp_path: Path, table: str, points_format: str, children: int
) -> None:
    path = tmp_path / "endless.sqlite"
    if points_format == "tiatoolbox-db":
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE annotations (id INTEGER PRIMARY KEY, cx, cy, properties)")
            database.execute("INSERT INTO annotations VALUES (1, 5, 5, '{}')")
    else:
        write_sliderunner(path, [Annotation([(10, 20)], said=[(1, 1)])])
    assert share_pages(path, table, levels=8, children=children) > 10**8
    with bounded_memory(50):
        assert "gives more than its size can hold" in refusal(path, points_format=points_format)


def test_rows_that_nobody_asked_for_do_not_come_without_end_either(tmp_path: Path) -> None:
    path = tmp_path / "endless.sqlite"
    write_sliderunner(path, [Annotation([(10, 20)], slide=2)], slides=["case_1.svs", "b.svs"])
    share_pages(path, "Annotations", levels=8, children=120)
    assert "gives more than its size can hold" in refusal(path)


def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.geojson.gz"
    with gzip.GzipFile(path, "wb", mtime=0) as stream:
        stream.write(b'{"type":"FeatureCollection","features":[')
        for _ in range(200):
            stream.write(b" " * (1 << 20))
    with bounded_memory(20):
        assert refusal(path).startswith("unpacks to more than 64 MiB and 100 times its size")


def test_a_zip_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.geojson", "w") as stream:
        stream.write(b'{"type":"FeatureCollection","features":[')
        for _ in range(200):
            stream.write(b" " * (1 << 20))
    with bounded_memory(20):
        assert "unpacks to more than" in refusal(path)


def test_more_rows_than_are_read(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    same = np.zeros(21_000_000, np.int8)
    pq.write_table(pa.table({"x": same, "y": same}), path, compression="zstd")
    assert path.stat().st_size < 1 << 20
    with bounded_memory(20):
        assert refusal(path).startswith("holds 21,000,000 rows; at most 20,000,000 are read")


def test_a_parquet_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    n = 200_000
    same, numbers = np.zeros(n, np.int8), pa.array(np.zeros(n, np.int32))
    long_word = pa.DictionaryArray.from_arrays(numbers, pa.array(["a" * 10_000 + " "]))
    pq.write_table(pa.table({"x": same, "y": same, "label": long_word}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 1 << 13
    with bounded_memory(20):
        assert refusal(path).startswith("its texts are 2,000,000,000 characters, more than 64 MiB and 100 times")


def test_a_parquet_file_of_empty_columns_without_end(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    n = 250_000
    nulls = dict.fromkeys((f"expert_{number}" for number in range(450)), pa.nulls(n, pa.string()))
    same = np.zeros(n, np.int8)
    pq.write_table(pa.table({"x": same, "y": same, **nulls}), path, compression="zstd")
    with bounded_memory(20):
        assert refusal(path).startswith("holds 250,000 rows of 452 columns, more than 100,000,000 cells")


def _labelled_by_many(folder: Path, points_format: str, n_persons: int, n_rows: int) -> Path:
    """A file of rows that nobody labelled but for one, and of so many persons."""
    if points_format == "sliderunner":
        spots = [Annotation([(number % 3000, number // 3000)]) for number in range(n_rows)]
        return write_sliderunner(folder / "many.sqlite", spots, persons=[f"p{number}" for number in range(n_persons)])
    path = folder / "many.geojson"
    features: list[dict[str, object]] = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [number % 3000, number // 3000]}}
        for number in range(n_rows)
    ]
    features[0]["properties"] = {"metadata": {f"expert_{number}": "AMF" for number in range(n_persons)}}
    path.write_text(json.dumps(features))
    return path


@pytest.mark.parametrize("points_format", ["sliderunner", "qupath-geojson"])
def test_labels_of_every_person_for_every_row_are_bounded(tmp_path: Path, points_format: str) -> None:
    path = _labelled_by_many(tmp_path, points_format, 3000, 3000)
    with bounded_memory(30):
        assert refusal(path).startswith("names 3,000 persons beside 3,000 annotations; of more than 50 persons")


@pytest.mark.parametrize("points_format", ["sliderunner", "qupath-geojson"])
def test_many_persons_of_few_annotations_are_read(tmp_path: Path, points_format: str) -> None:
    assert len(read_candidates(_labelled_by_many(tmp_path, points_format, 3000, 10), SLIDE).table) == 10


def test_a_database_for_many_slides_bounds_persons_by_slide(tmp_path: Path) -> None:
    path = _labelled_by_many(tmp_path, "sliderunner", 3000, 3000)
    listed = reader_for(path, None).listed(path)
    assert listed is not None
    with pytest.raises(CandidateError, match="names 3,000 persons"):
        listed.own("case_1.svs")


def test_short_rows_below_a_long_header_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(",".join(["x", "y", *(f"expert_{number}" for number in range(2000))]) + "\n" + "1,2\n" * 2000)
    assert refusal(path).startswith("row 1501 and others before it are far shorter than the header of 2,002 columns")
    path.write_text(path.read_text().replace("expert_", "note_"))  # which nobody reads
    assert len(read_candidates(path, SLIDE).table) == 2000


def test_the_nearest_of_many_names_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    names = [f"crop_{number}.png" for number in range(50_000)] + ["b" * 30_000]
    path.write_text("filename,x,y\n" + "".join(f"{name},1,2\n" for name in names))
    start = time.process_time()
    assert "the nearest of its 50,001 names is" in refusal(path)
    assert time.process_time() - start < 5  # all of them took minutes


def test_one_endless_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.geojson.gz"
    path.write_bytes(gzip.compress(b'[{"type":"Point","x":"' + b"a" * (20 << 20), mtime=0))
    with bounded_memory(40):
        assert refusal(path).startswith("the object at character 1 is longer than 4,194,304 characters, the most")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_one_points_annotation_of_many_points_is_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    places = np.random.default_rng(0).uniform(0, 9000, (130_000, 2)).tolist()
    path = tmp_path / "points.geojson"
    text = json.dumps({"type": "MultiPoint", "coordinates": places})
    assert len(text) > 4 << 20
    path.write_bytes(pack(text.encode()))
    assert len(reader_for(path, None).read(path, SLIDE)) == len(places)


@pytest.mark.parametrize(("members", "n"), [({"a.txt": b"x"}, 0), ({"a.geojson": b"{}", "b/c.json": b"{}"}, 2)])
def test_a_zip_with_none_or_several(tmp_path: Path, members: dict[str, bytes], n: int) -> None:
    path = write_zip(tmp_path / "points.zip", members)
    assert refusal(path).startswith(f"the zip holds {n} files .geojson or .json; expected one")
