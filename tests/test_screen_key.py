"""The key of a result: equal for equal input, and moved by everything that numbers follow from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.candidates.own_rows import own_rows_sha256
from wsiamf.config import ScreenOptions, parse_screen_options
from wsiamf.files import fingerprint, sha256_file
from wsiamf.inference import Classifier
from wsiamf.screen.key import ALGORITHM_VERSION, changed_parts, run_key
from wsiamf.spec import ErrorRates

OTHER_OPTIONS: dict[str, Any] = {
    "threshold": 0.4,
    "conformal_error": 0.2,
    "mpp": 0.26,
    "points_format": "csv",
    "points_frame": "qupath",
    "points_unit": "um",
    "points_scale": 2.0,
    "points_swap_xy": True,
    "points_flip_y": True,
    "force": True,
    "raters": ("Ann",),
    "min_score": 0.5,
    "merge_um": 8.0,
    "include_non_mitotic": True,
    "skip_bad_points": True,
    "include_classes": ("Tumour",),
    "exclude_classes": (),
    "hotspot_mm2": 1.0,
    "max_unreadable": 0.2,
    "seed": 1,
    "gzip_geojson": True,
}
RATES = ErrorRates(domain="ours", threshold="count", n_amf=60, n_nmf=240, sensitivity=0.8, specificity=0.9)
PARTS: dict[str, Any] = {
    "fingerprint": "f" * 64,
    "points_rows_sha256": "a" * 64,
    "regions_sha256": None,
    "named_regions_sha256": None,
    "model_sha256": "b" * 64,
    "options": ScreenOptions(),
    "error_rates": None,
    "backend": "openvino",
    "precision": "f32",
    "device_class": "cpu",
}


def key(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(run_key(**(PARTS | changes))))  # as it comes back from run.json
    return made


def test_every_option_has_another_value_here() -> None:
    assert set(OTHER_OPTIONS) == set(ScreenOptions.model_fields) - {"report"}


def test_a_page_more_or_less_changes_no_result() -> None:
    assert key(options=parse_screen_options({"report": False})) == key()


@pytest.mark.parametrize("name", OTHER_OPTIONS)
def test_each_option_moves_the_key_and_is_named(name: str) -> None:
    options = parse_screen_options({name: OTHER_OPTIONS[name]})
    assert run_key(**PARTS) == key()
    assert [part.split()[0] for part in changed_parts(key(), key(options=options))] == [f"options.{name}"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": "0" * 64}, ["slide"]),
        ({"points_rows_sha256": "0" * 64}, ["points"]),
        ({"regions_sha256": "0" * 64}, ["regions given"]),
        ({"named_regions_sha256": "0" * 64}, ["named_regions given"]),
        ({"model_sha256": "0" * 64}, ["model"]),
        ({"error_rates": RATES}, ["error_rates given"]),
        ({"backend": "torch", "device_class": "cuda"}, ["backend openvino -> torch", "device_class cpu -> cuda"]),
        ({"precision": "int8"}, ["precision f32 -> int8"]),
        ({"options": ScreenOptions(min_score=0.3)}, ["options.min_score none -> 0.3"]),
        ({"options": ScreenOptions(threshold=0.5, seed=3)}, ["options.threshold count -> 0.5", "options.seed 0 -> 3"]),
        ({}, []),
    ],
)
def test_what_changed_is_said_in_words(changes: dict[str, Any], said: list[str]) -> None:
    assert changed_parts(key(), key(**changes)) == said


def test_what_changed_back() -> None:
    assert changed_parts(key(regions_sha256="0" * 64), key()) == ["regions left out"]
    more = RATES.model_copy(update={"n_amf": 61})
    assert changed_parts(key(error_rates=RATES), key(error_rates=more)) == ["error_rates.n_amf 60 -> 61"]
    assert changed_parts({**key(), "stain": "H&E"}, key()) == ["stain H&E -> none"]
    older = {**key(), "options": ScreenOptions().model_dump(mode="json"), "algorithm_version": ALGORITHM_VERSION - 1}
    assert changed_parts(older, key()) == [f"algorithm_version {ALGORITHM_VERSION - 1} -> {ALGORITHM_VERSION}"]


def test_run_json_holds_the_key_of_its_inputs(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    slide = write_pyramid_tiff(tmp_path / "slide.tiff", coordinate_coded(600, 500), 0.25)
    points = tmp_path / "points.csv"
    points.write_text("slide,x,y,score\nslide.tiff,200,200,0.9\nother.tiff,1,1,0.5\n")
    roi = tmp_path / "roi.json"
    roi.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [500, 0], [500, 400], [0, 400], [0, 0]]]}')
    model = Classifier(bundle, device="cpu")
    fields = tmp_path / "fields.json"
    field = {"type": "Feature", "properties": {"name": "one"}, "geometry": json.loads(roi.read_text())}
    fields.write_text(json.dumps(field))
    given: dict[str, Any] = {"roi": roi, "regions": fields, "model": model, "min_score": 0.2}
    folder = screen_slide(slide, points, out=tmp_path / "out", **given).folder
    record = json.loads((folder / "run.json").read_text())
    rows = own_rows_sha256(points, "slide.tiff", None)
    assert record["points"]["rows_sha256"] == rows
    assert record["key"] == run_key(
        fingerprint=fingerprint([slide]),
        points_rows_sha256=rows,
        regions_sha256=sha256_file(roi),
        named_regions_sha256=sha256_file(fields),
        model_sha256=bundle.sha256,
        options=ScreenOptions(min_score=0.2),
        error_rates=None,
        backend=model.backend.name,
        precision=model.backend.precision,
        device_class=model.backend.device_class,
    )
    points.write_text("slide,x,y,score\nslide.tiff,200,200,0.9\nother.tiff,1,1,0.6\nother.tiff,1,2,0.5\n")
    again = screen_slide(slide, points, out=tmp_path / "again", **given).folder
    assert json.loads((again / "run.json").read_text())["key"] == record["key"]
