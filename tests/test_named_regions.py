"""Fields that a reader drew: each is counted on its own, in whichever frame the slide is shown."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.made_predictions import FRAME
from tests.made_result_folder import table_at
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.errors import RegionError
from wsiamf.inference import Classifier
from wsiamf.predictions import read_predictions
from wsiamf.regions import NamedRegion, Region, read_named_regions
from wsiamf.regions.region import slide_box
from wsiamf.summary import named_region_fields


def feature(name: str | None, box: tuple[float, float, float, float], **properties: Any) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {"objectType": "annotation", "name": name, **properties},
    }


def regions_file(folder: Path, *features: dict[str, Any]) -> Path:
    path = folder / "fields.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def by_name(regions: list[NamedRegion]) -> dict[str, Region]:
    return {one.name: one.region for one in regions}


class TestReading:
    def test_coordinates_are_qupaths(self, tmp_path: Path) -> None:
        path = regions_file(tmp_path, feature(" field  1", (0, 0, 100, 50)), feature("2", (50, 0, 150, 50)))
        found = by_name(read_named_regions(path, FRAME))
        assert list(found) == ["field 1", "2"]
        # the slide's bounds begin at 1000, 2000
        assert list(found["field 1"].geometry.bounds) == [1000, 2000, 1100, 2050]
        assert found["2"].area_mm2(FRAME.mpp) == pytest.approx(100 * 50 * 0.25**2 / 1e6)

    def test_any_class_and_only_areas(self, tmp_path: Path) -> None:
        point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
        drawn = feature("a", (0, 0, 9, 9), classification={"name": "Necrosis", "color": [1, 2, 3]})
        detection = feature("b", (0, 0, 9, 9), objectType="detection")
        assert list(by_name(read_named_regions(regions_file(tmp_path, point, drawn, detection), FRAME))) == ["a"]

    def test_an_ellipse(self, tmp_path: Path) -> None:
        drawn = feature("a", (0, 0, 200, 100))
        drawn["geometry"]["isEllipse"] = True
        (one,) = read_named_regions(regions_file(tmp_path, drawn), FRAME)
        assert one.region.geometry.area == pytest.approx(np.pi * 100 * 50, rel=1e-3)

    def test_notes(self, tmp_path: Path) -> None:
        bow_tie = feature("tie", (0, 0, 10, 10))
        bow_tie["geometry"]["coordinates"] = [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]
        beyond = feature("edge", (-2000, 0, 1000, 100))
        notes = [
            note
            for one in read_named_regions(regions_file(tmp_path, bow_tie, beyond), FRAME)
            for note in one.region.notes
        ]
        assert notes == [
            "The outline of region 'tie' crosses itself; it was repaired.",
            "Region 'edge' reaches beyond the slide: 33.3% of its area was cut.",
        ]

    @pytest.mark.parametrize(
        ("features", "words"),
        [
            ([feature(None, (0, 0, 9, 9))], "object 1 has no name"),
            ([feature("  ", (0, 0, 9, 9))], "object 1 has no name"),
            ([feature("a", (0, 0, 9, 9)), feature("a ", (9, 0, 18, 9))], "two regions are called 'a'"),
            ([feature("a", (200_000, 0, 200_009, 9))], "region 'a' has no area on the slide"),
            ([], "holds no area"),
        ],
    )
    def test_unusable(self, tmp_path: Path, features: list[dict[str, Any]], words: str) -> None:
        with pytest.raises(RegionError, match=words):
            read_named_regions(regions_file(tmp_path, *features), FRAME)


def named(name: str, box: tuple[float, float, float, float]) -> NamedRegion:

    return NamedRegion(name, Region(shapely.MultiPolygon([shapely.box(*box)]), "roi"))


class TestCounting:
    def table(self) -> pd.DataFrame:
        x = np.array([100.0, 200.0, 300.0, 400.0, 500.0])
        table = table_at(x, np.full(5, 100.0))
        table["label"] = ["AMF", "NMF", "AMF", "NMF", "AMF"]
        table.loc[4, "status"] = "duplicate"
        return table

    def whole(self) -> Region:

        return Region(shapely.MultiPolygon([slide_box(FRAME)]), "tissue")

    def test_each_region_on_its_own(self) -> None:
        regions = [named("left", (0, 0, 250, 200)), named("all", (0, 0, 1000, 200)), named("none", (600, 0, 700, 200))]
        found = named_region_fields(self.table(), FRAME, self.whole(), regions)["regions"]
        assert [(one["name"], one["n"], one["n_amf"], one["n_nmf"]) for one in found] == [
            ("left", 2, 1, 1),
            ("all", 4, 2, 2),  # the duplicate does not count
            ("none", 0, 0, 0),
        ]
        left, _, none = found
        assert left["amf_fraction"] == 0.5
        assert left["selection"] == "given"
        assert left["amf_fraction_sampling_interval"]["after_selection"] is False
        assert left["mf_per_mm2"] == pytest.approx(2 / (250 * 200 * 0.25**2 / 1e6), rel=1e-5)
        assert none["amf_fraction"] is None
        assert none["amf_fraction_status"] == "not estimable: no figure counts"

    def test_share_in_the_counting_area(self) -> None:
        half = named("", (0, 0, 50, 100)).region
        (one,) = named_region_fields(self.table(), FRAME, half, [named("a", (0, 0, 100, 100))])["regions"]
        assert one["share_in_area"] == 0.5

    def test_none_given(self) -> None:
        found = named_region_fields(self.table(), FRAME, self.whole(), None)
        assert found == {"regions": None, "regions_status": "no regions were given: --regions"}


def test_screen(tmp_path: Path) -> None:
    slide = write_pyramid_tiff(tmp_path / "slide.tiff", coordinate_coded(1000, 800), 0.25)
    (tmp_path / "points.csv").write_text("x,y\n200,200\n500,400\n900,700\n")
    fields = regions_file(tmp_path, feature("upper left", (100, 100, 300, 300)), feature("both", (100, 100, 600, 500)))
    model = Classifier(tiny_bundle(tmp_path), device="cpu")
    result = screen_slide(slide, tmp_path / "points.csv", out=tmp_path / "out", regions=fields, model=model)
    summary = json.loads((result.folder / "summary.json").read_text())
    assert [one["n"] for one in summary["regions"]] == [1, 2]
    with (result.folder / "regions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = read_predictions(result.folder)
    assert [row["name"] for row in rows] == ["upper left", "both"]
    assert [int(row["n_amf"]) for row in rows] == [
        int((table["label"][:1] == "AMF").sum()),
        int((table["label"][:2] == "AMF").sum()),
    ]
    assert float(rows[1]["mf_per_mm2_low"]) < float(rows[1]["mf_per_mm2"]) < float(rows[1]["mf_per_mm2_high"])
    record = json.loads((result.folder / "run.json").read_text())
    assert record["named_regions"]["name"] == "fields.geojson"
    assert "regions.csv" in record["outputs"]
    assert str(tmp_path) not in (result.folder / "regions.csv").read_text()
    screen_slide(slide, tmp_path / "points.csv", out=tmp_path / "out", model=model, overwrite=True)
    assert not (result.folder / "regions.csv").exists()
