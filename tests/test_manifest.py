"""Manifests and folders of slides: what becomes an item, and every problem named at once."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wsiamf.cohort.items import Item
from wsiamf.cohort.manifest import list_folder, read_manifest
from wsiamf.errors import CohortError, ManifestError

POINTS = "x,y\n1,2\n"


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def fields(*names: str) -> str:
    """GeoJSON of a square for each name."""
    square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}
    return json.dumps([{"type": "Feature", "geometry": square, "properties": {"name": name}} for name in names])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Slides a, b, c and a points file for each."""
    for name in "abc":
        put(tmp_path / f"{name}.svs", name)
        put(tmp_path / f"{name}.csv", POINTS)
    return tmp_path


def manifest(folder: Path, text: str | bytes, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path: Path, **options: Any) -> list[str]:
    """The lines of the refusal below its head."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, **options)
    assert isinstance(caught.value, CohortError)
    head, *lines = str(caught.value).splitlines()
    n = len(lines)
    assert head == f"{path}: {n} problem{'s' if n > 1 else ''}, and nothing was begun:"
    return lines


def refusal(path: Path) -> str:
    """The one line that refuses a manifest as a whole."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestManifest:
    ROW = "a.svs,a.csv,001,0042,roi.json,fields.json,0.25,treated,mastocytoma,S1\n"
    HEADER = "slide,points,slide_id,case_id,roi,regions,mpp,group,tumor,scanner\n"

    def test_every_column(self, files: Path) -> None:
        put(files / "roi.json", "{}")
        put(files / "fields.json", fields("A"))
        path = manifest(files, self.HEADER + self.ROW + "b.svs,b.csv,,0042,,,,,,\n")
        assert read_manifest(path) == [
            Item(
                *(1, "001", files / "a.svs", files / "a.csv", "0042", files / "roi.json", files / "fields.json"),
                *(0.25, "treated", "mastocytoma", "S1"),
            ),
            Item(2, "b", files / "b.svs", files / "b.csv", "0042"),
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "slide,points,slide_id\na.svs,a.csv,01\nb.svs,b.csv,02\n",
            "\ufeffslide;points;slide_id\r\na.svs;a.csv;01\r\nb.svs;b.csv;02\r\n",
            "Points\t Slide \tSLIDE_ID\n\na.csv\ta.svs\t 01\nb.csv\tb.svs\t02\n",
            'slide,points,slide_id\n"a.svs","a.csv",01\nb.svs,b.csv,02,,\n',
        ],
    )
    def test_every_way_to_write_it(self, files: Path, text: str) -> None:
        items = read_manifest(manifest(files, text))
        assert [(item.row, item.slide_id, item.slide.name) for item in items] == [
            (1, "01", "a.svs"),
            (2, "02", "b.svs"),
        ]

    def test_parquet_and_its_types(self, files: Path) -> None:
        table = pd.DataFrame(
            {
                "slide": pd.Categorical(["a.svs", "b.svs", "c.svs"]),
                "points": ["a.csv", "b.csv", "c.csv"],
                "slide_id": ["001", None, "3"],
                "case_id": [7, 7, 8],
                "mpp": [0.25, None, 0.5],
                "group": [1.0, None, 2.0],
            }
        )
        table.to_parquet(files / "m.parquet")
        items = read_manifest(files / "m.parquet")
        assert [(i.slide_id, i.case_id, i.mpp, i.group) for i in items] == [
            ("001", "7", 0.25, "1"),
            ("b", "7", None, None),
            ("3", "8", 0.5, "2"),
        ]

    def test_paths_start_at_the_manifest(self, files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (files / "lists").mkdir()
        manifest(files / "lists", f"slide,points\n../a.svs,{files / 'a.csv'}\n")
        monkeypatch.chdir(tmp_path)
        (item,) = read_manifest("lists/manifest.csv")
        assert isinstance(item.slide, Path)
        assert item.slide.is_absolute()
        assert item.slide.samefile(files / "a.svs")
        assert item.points == files / "a.csv"

    def test_items_survive_json(self, files: Path) -> None:
        put(files / "roi.json", "{}")
        put(files / "fields.json", fields("A"))
        items = read_manifest(manifest(files, self.HEADER + self.ROW))
        assert [Item.from_json(json.loads(json.dumps(item.as_json()))) for item in items] == items

    def test_all_problems_at_once_in_the_order_of_the_rows(self, files: Path) -> None:
        put(files / "empty.svs", "")
        path = manifest(
            files,
            "slide,points,slide_id,mpp,cases\n"
            "gone.svs,a.csv,,,\n"
            ",b.csv,,abc,\n"
            ".,b.csv,dir,,\n"
            "empty.svs,gone.csv,,,\n"
            "a.svs,a.csv,x/y,99,\n"
            "b.svs,b.csv,ID,,,more\n"
            "c.svs,c.csv,id,,\n"
            "./c.svs,c.csv,review,,\n",
        )
        said = problems(path)
        expected = [
            "column 'cases' is not known (nearest is 'case_id')",
            "row 1: slide",
            "row 2: slide is empty",
            "row 3: slide",
            "row 4: points",
            "row 5: mpp '99' is no number from 0.05 to 20 um per px",
            "row 5: slide_id 'x/y' must be one plain folder name",
            "row 6: has 6 cells, the header 5",
            "row 7: slide_id 'id' is that of row 6 too",
            "row 8: slide_id 'review' is a name that the cohort's own files have",
            "row 8: slide c.svs is that of row 7 too",
        ]
        assert len(said) == len(expected)
        for line, start in zip(said, expected, strict=True):
            assert line.startswith(start)
        assert "gone.svs: no such file" in said[1]
        assert "is a folder; name the .mrxs" in said[3]
        assert "gone.csv: no such file" in said[4]  # and not that the slide is empty, which its own screening says

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("slide,points\n", "has no rows"),
            ("slide,pints\na.svs,a.csv\n", "column 'pints' is not known (nearest is 'points')"),
            ("file,points\na.svs,a.csv\n", "has no column 'slide'; its columns are 'file', 'points'"),
            ("slide,points,Slide\na.svs,a.csv,b.svs\n", "column 'slide' stands 2 times in the header"),
            ("slide,points,\na.svs,a.csv,x\n", "column 3 has no name"),
            ("slide,points,case_id\na.svs,a.csv,1\nb.svs,b.csv,\nc.svs,c.csv,\n", "row 2 (and 1 more): has no case_id"),
            ("slide,points,roi\na.svs,a.csv,no.json\n", "no.json: no such file"),
            ("slide,points,regions\na.svs,a.csv,no.json\n", "row 1: regions"),
            ("slide,points,regions\na.svs,a.csv,.\n", "is a folder; name the GeoJSON file itself"),
            ("slide,points\na.svs,\n", "row 1: points is empty"),
            ("slide,points\na.svs\n", "row 1: points is empty"),
            ("slide,points\na.svs,a.csv\nA.svs,a.csv\n", "row 2: slide_id 'A' is that of row 1 too"),
            ("slide,points,slide_id\na.svs,a.csv,é\nb.svs,b.csv,e\u0301\n", "is that of row 1 too; give them two ids"),
            (f"slide,points,slide_id\na.svs,a.csv,{'x' * 201}\n", "is too long for a folder's name"),
            ("slide,points\nb:c.svs,a.csv\n", "slide_id 'b:c' must be one plain folder name"),
            ("slide,points,slide_id\na.svs,a.csv,.wsiamf-cohort\n", "is a name that the cohort's own files have"),
            ("slide,points,slide_id\na.svs,a.csv,COHORT.CSV\n", "is a name that the cohort's own files have"),
            (f"slide,points\na.svs,a.csv\n{'x' * 300}.svs,b.csv\n", ".svs: cannot be read (File name too long)"),
        ],
    )
    def test_each_problem(self, files: Path, text: str, said: str) -> None:
        put(files / "A.svs")
        assert any(said in line for line in problems(manifest(files, text)))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"\n \n", "is empty"),
            ("slide,points\nü.svs,a.csv\n".encode("latin-1"), "line 2 is not UTF-8 (byte 0xfc)"),
            ("slide,points\na.svs,a.csv\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
            (b"PK\x03\x04\0\0\0\0", "is neither text nor Parquet"),
            (b"PAR1 and no more", "not a readable Parquet file"),
            (b'slide,points\na.svs,"a.csv\n', "correct the quotes there"),
        ],
    )
    def test_what_is_no_table(self, files: Path, content: bytes, said: str) -> None:
        path = manifest(files, content)
        assert refusal(path).startswith(f"{path}: ")
        assert said in refusal(path)

    def test_fields_without_a_name_or_with_one_twice_are_named_before_work_starts(self, files: Path) -> None:
        put(files / "twice.json", fields("A", "A"))
        put(files / "unnamed.json", fields("A", ""))
        rows = ("a.svs,a.csv,twice.json", "b.svs,b.csv,unnamed.json", "c.svs,c.csv,twice.json")
        said = problems(manifest(files, "\n".join(["slide,points,regions", *rows]) + "\n"))
        assert len(said) == 2  # a file that slides share is named once
        assert said[0].startswith(f"row 1: regions {files / 'twice.json'}: two regions are called 'A'")
        assert "unnamed.json: object 2 has no name" in said[1]

    def test_no_manifest(self, tmp_path: Path) -> None:
        assert "no such manifest" in refusal(tmp_path / "m.csv")
        assert "is a folder, not a manifest" in refusal(tmp_path)

    def test_a_path_that_no_file_can_have(self, files: Path) -> None:
        # far enough from the start that the file is not taken for a binary one
        path = manifest(files, f"slide,points\na.svs,a.csv{' ' * 5000}\nb\0.svs,b.csv\n")
        said, _of_its_id = problems(path)
        assert said.startswith("row 2: slide")
        assert "b\ufffd.svs: no such file" in said  # shown without the byte, which a terminal might obey

    def test_damaged_names_of_columns(self, files: Path) -> None:
        pd.DataFrame({"slide": ["a.svs"], "points": ["a.csv"]}).to_parquet(files / "m.parquet")
        (files / "m.parquet").write_bytes((files / "m.parquet").read_bytes().replace(b"points", b"poi\xb3ts"))
        assert "not a readable Parquet file" in refusal(files / "m.parquet")

    @pytest.mark.parametrize("name", ["pipe.svs", "pipe.dcm"])
    def test_a_pipe_is_not_waited_for(self, files: Path, name: str) -> None:
        os.mkfifo(files / name)
        (said,) = problems(manifest(files, f"slide,points\n{name},a.csv\n"))
        assert said.endswith(f"{name}: is not a plain file; name the file itself.")

    def test_a_long_list_of_problems_is_cut(self, tmp_path: Path) -> None:
        path = manifest(tmp_path, "slide,points\n" + "".join(f"{k}.svs,{k}.csv\n" for k in range(400)))
        with pytest.raises(ManifestError) as caught:
            read_manifest(path)
        lines = str(caught.value).splitlines()
        assert lines[0].endswith(": 800 problems, and nothing was begun:")
        assert len(lines) == 52
        assert lines[1].startswith("row 1: slide")
        assert lines[-1] == "... and 750 more."

    def test_two_links_to_one_slide_are_one(self, files: Path) -> None:
        (files / "link.svs").symlink_to(files / "a.svs")
        said = problems(manifest(files, "slide,points\na.svs,a.csv\nlink.svs,b.csv\n"))
        assert said == ["row 2: slide link.svs is that of row 1 too; list each slide once."]

    def test_two_files_of_one_series_are_one_slide(self, shared_data: Path, files: Path) -> None:
        for k in (0, 1):
            shutil.copyfile(shared_data / "slides" / f"boxes_{k}.dcm", files / f"{k}.dcm")
        said = problems(manifest(files, "slide,points\n0.dcm,a.csv\n1.dcm,b.csv\n"))
        assert said == ["row 2: slide 1.dcm is that of row 1 too; list each slide once."]


class TestSharedPoints:
    @pytest.fixture
    def rows(self, files: Path) -> Path:
        put(files / "all.csv", "slide,x,y\na.svs,1,2\nbb.svs,3,4\n")
        return manifest(files, "slide,points\na.svs,all.csv\nb.svs,all.csv\n")

    def test_a_slide_that_is_not_listed_is_a_problem(self, rows: Path) -> None:
        (said,) = problems(rows)
        assert "all.csv: lists no row for 'b.svs' (nearest is 'bb.svs')" in said
        assert "--allow-missing-points" in said

    def test_or_has_no_candidates_where_that_is_allowed(self, rows: Path) -> None:
        items = read_manifest(rows, allow_missing_points=True)
        assert [(item.slide_id, item.points) for item in items] == [("a", rows.parent / "all.csv"), ("b", None)]

    def test_two_names_for_one_slide(self, files: Path) -> None:
        put(files / "all.csv", "slide,x,y\na.tif,1,2\na.ndpi,3,4\n")
        for allowed in (False, True):
            (said,) = problems(manifest(files, "slide,points\na.svs,all.csv\n"), allow_missing_points=allowed)
            assert "'a.ndpi' and 'a.tif' could both be 'a.svs'" in said

    def test_a_file_that_cannot_be_read_is_named_once(self, files: Path) -> None:
        put(files / "all.json", '{"images": [')
        said = problems(manifest(files, "slide,points\na.svs,all.json\nb.svs,all.json\nc.svs,c.csv\n"))
        assert len(said) == 1
        assert said[0].startswith(f"row 1 (and 1 more): points {files / 'all.json'}: not valid JSON")

    def test_the_format_can_be_named(self, files: Path) -> None:
        (said,) = problems(manifest(files, "slide,points\na.svs,a.csv\n"), points_format="midog-json")
        assert "not valid JSON" in said


class TestFolder:
    def ids(self, items: list[Item]) -> list[tuple[str, str | None]]:
        return [(item.slide_id, item.points.name if item.points else None) for item in items]

    def refused(self, slides: Path, points: Path) -> str:
        with pytest.raises(ManifestError) as caught:
            list_folder(slides, points)
        return str(caught.value)

    def test_points_of_the_same_names(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for name in ("b.svs", "a.TIFF", "c.ome.tiff", "notes.txt", "thumb.jpg", "._b.svs", "d.mrxs", "d/Slidedat.ini"):
            put(tmp_path / "slides" / name, name)
        for name in ("a.csv", "b.svs.csv", "c.json", "d.tsv", "e.csv", "readme.md"):
            put(tmp_path / "points" / name, '{"images": [], "annotations": []}' if name == "c.json" else POINTS)
        put(tmp_path / "points" / "c.json", '{"images": [{"id": 1, "file_name": "c.ome.tiff"}], "annotations": []}')
        with caplog.at_level(logging.WARNING, "wsiamf"):
            items = list_folder(tmp_path / "slides", tmp_path / "points")
        assert self.ids(items) == [("a", "a.csv"), ("b", "b.svs.csv"), ("c", "c.json"), ("d", "d.tsv")]
        assert [item.row for item in items] == [1, 2, 3, 4]
        assert "3 left out, which are no slides by their names (._b.svs, notes.txt, thumb.jpg)" in caplog.text
        assert "1 points files are no slide's (e.csv)" in caplog.text

    def test_regions_of_the_same_names(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for name in ("a.svs", "b.ome.tiff", "c.svs"):
            put(tmp_path / "slides" / name, name)
            put(tmp_path / "points" / f"{name}.csv", POINTS)
        for name in ("a.geojson", "b.ome.tiff.json", "d.geojson", "counts.csv"):
            put(tmp_path / "fields" / name, fields("A"))
        items = list_folder(tmp_path / "slides", tmp_path / "points", regions=tmp_path / "fields")
        assert [item.regions and item.regions.name for item in items] == ["a.geojson", "b.ome.tiff.json", None]
        assert "fields: 1 slides have no regions there (c.svs)" in caplog.text
        assert "fields: 1 regions files are no slide's (d.geojson)" in caplog.text
        put(tmp_path / "fields" / "c.geojson", fields(""))
        put(tmp_path / "fields" / "a.svs.json.gz", "")
        with pytest.raises(ManifestError) as caught:
            list_folder(tmp_path / "slides", tmp_path / "points", regions=tmp_path / "fields")
        assert "a.svs: has a.geojson, a.svs.json.gz as regions; keep one." in str(caught.value)
        assert "c.svs: regions" in str(caught.value)
        with pytest.raises(ManifestError, match="no such folder of regions"):
            list_folder(tmp_path / "slides", tmp_path / "points", regions=tmp_path / "fields" / "a.geojson")

    def test_slides_without_points(self, tmp_path: Path) -> None:
        for name in "ab":
            put(tmp_path / f"{name}.svs", name)
        put(tmp_path / "b.csv", POINTS)
        assert "a.svs: has no points in" in self.refused(tmp_path, tmp_path)
        assert self.ids(list_folder(tmp_path, tmp_path, allow_missing_points=True)) == [("a", None), ("b", "b.csv")]

    def test_two_slides_of_one_stem_and_two_points_of_one_slide(self, tmp_path: Path) -> None:
        for name in ("a.svs", "a.tif", "b.svs"):
            put(tmp_path / "slides" / name, name)
        for name in ("a.csv", "b.csv", "b.tsv"):
            put(tmp_path / "points" / name, POINTS)
        said = self.refused(tmp_path / "slides", tmp_path / "points")
        assert "a.tif: slide_id 'a' is that of a.svs too" in said
        assert "b.svs: has b.csv, b.tsv as points; keep one." in said

    def test_one_midog_file_for_all(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        images = [{"id": k, "file_name": f"{k}.tiff"} for k in (1, 2, 3)]
        points = put(tmp_path / "midog.json", json.dumps({"images": images, "annotations": [], "categories": []}))
        for k in (1, 2):
            put(tmp_path / "slides" / f"{k}.tiff", str(k))
        with caplog.at_level(logging.WARNING, "wsiamf"):
            assert self.ids(list_folder(tmp_path / "slides", points)) == [("1", "midog.json"), ("2", "midog.json")]
        assert "1 of its slides are not in the folder (3.tiff)" in caplog.text
        put(tmp_path / "slides" / "4.tiff", "4")
        assert "4.tiff: points" in self.refused(tmp_path / "slides", points)
        allowed = list_folder(tmp_path / "slides", points, allow_missing_points=True)
        assert self.ids(allowed)[2] == ("4", None)

    def test_real_midog25_file(self, shared_data: Path, tmp_path: Path) -> None:
        points = shared_data / "annotations" / "MIDOG25_Atypical_Classification_Train_Set.csv"
        for name in ("002.tiff", "305.tiff"):
            put(tmp_path / name, name)
        assert [item.slide_id for item in list_folder(tmp_path, points)] == ["002", "305"]

    def test_a_file_for_one_slide_is_not_for_many(self, tmp_path: Path) -> None:
        points = put(tmp_path / "points.csv", POINTS)
        put(tmp_path / "slides" / "a.svs", "a")
        assert self.ids(list_folder(tmp_path / "slides", points)) == [("a", "points.csv")]
        put(tmp_path / "slides" / "b.svs", "b")
        assert "names no slides, but there are 2" in self.refused(tmp_path / "slides", points)

    def test_a_dicom_series_is_one_slide(self, shared_data: Path, tmp_path: Path) -> None:
        for folder in (tmp_path / "slides", tmp_path / "slides" / "case 7"):
            folder.mkdir(exist_ok=True)
            for k in (0, 1):
                shutil.copyfile(shared_data / "slides" / f"boxes_{k}.dcm", folder / f"boxes_{k}.dcm")
        put(tmp_path / "slides" / "empty folder" / "readme")
        put(tmp_path / "points" / "case 7.csv", POINTS)
        put(tmp_path / "points" / "boxes_0.csv", POINTS)
        items = list_folder(tmp_path / "slides", tmp_path / "points")
        assert self.ids(items) == [("boxes_0", "boxes_0.csv"), ("case 7", "case 7.csv")]
        assert items[1].slide == tmp_path / "slides" / "case 7" / "boxes_0.dcm"

    def test_nothing_there(self, tmp_path: Path) -> None:
        points = put(tmp_path / "points.csv", POINTS)
        assert "no such folder of slides" in self.refused(tmp_path / "gone", points)
        (tmp_path / "slides").mkdir()
        assert "holds no slide" in self.refused(tmp_path / "slides", points)
        put(tmp_path / "slides" / "a.svs", "a")
        assert "no such points file or folder" in self.refused(tmp_path / "slides", tmp_path / "gone.csv")
        assert "cannot be used: is empty" in self.refused(tmp_path / "slides", put(tmp_path / "e.csv", ""))
