"""One slide end to end, as a user runs it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from tests.qupath_checker import check_qupath_geojson
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.errors import (
    BundleError,
    CandidateError,
    ConfigError,
    MppError,
    OutputError,
    OutputExistsError,
    PointsNotFoundError,
    RegionError,
    SlideNotFoundError,
    SlideReadError,
    UnsupportedSlideError,
    WsiamfError,
)
from wsiamf.inference import Classifier, load_model
from wsiamf.predict import find_crops, predict_crops
from wsiamf.predictions import expert_columns, read_predictions
from wsiamf.slides.byte_ranges import LocalRanges

FILES = {
    "predictions.parquet",
    "predictions.csv",
    "detections.geojson",
    "review.geojson",
    "hard_cases.csv",
    "contact_sheet.png",
    "report.html",
    "summary.json",
    "run.json",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(tiny_bundle(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture
def coded_slide(tmp_path: Path) -> Path:
    return write_pyramid_tiff(tmp_path / "slide.tiff", coordinate_coded(1000, 800), 0.25)


@pytest.fixture
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text("id,x,y,score\na,200,200,0.9\nb,500,400,0.8\nc,990,795,0.7\nd,501,401,0.2\n")
    return path


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def run_facts(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return {key: value for key, value in record.items() if key not in ("times", "host")}


class TestOutputs:
    def test_every_file_of_the_contract(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        result = screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, hotspot_mm2=0.01)
        assert result.folder == tmp_path / "out" / "slide"
        assert {path.name for path in result.folder.iterdir()} == FILES
        assert check_qupath_geojson(result.folder / "detections.geojson") == []
        assert check_qupath_geojson(result.folder / "review.geojson") == []
        record = json.loads((result.folder / "run.json").read_text())
        assert set(record["outputs"]) == FILES - {"run.json"}
        written = {name: value for name, value in hashes(result.folder).items() if name != "run.json"}
        assert record["output_sha256"] == written
        assert json.loads((result.folder / "summary.json").read_text()) == result.summary

    def test_rows_are_in_the_order_of_the_points(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny)
        table = read_predictions(tmp_path / "out" / "slide")
        assert table["candidate_id"].tolist() == ["a", "b", "c", "d"]
        assert table["status"].tolist() == ["ok", "ok", "ok", "duplicate"]
        assert table["duplicate_of"].tolist()[3] == "b"
        assert table["x_um"].tolist() == [50.0, 125.0, 247.5, 125.25]
        assert table["p_atypical"].notna().tolist() == [True, True, True, False]
        assert table["crop_coverage"].round(3).tolist()[:3] == [1.0, 1.0, round(74 * 69 / 128**2, 3)]
        assert sorted(table["review_rank"].dropna()) == [1, 2, 3]
        csv = pd.read_csv(tmp_path / "out" / "slide" / "predictions.csv")
        assert csv.columns.tolist() == table.columns.tolist()

    def test_same_input_same_bytes(self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path) -> None:
        first, second = (
            screen_slide(coded_slide, points, out=tmp_path / name, model=tiny, hotspot_mm2=0.01).folder for name in "ab"
        )
        assert {name: value for name, value in hashes(first).items() if name != "run.json"} == {
            name: value for name, value in hashes(second).items() if name != "run.json"
        }
        assert run_facts(first) == run_facts(second)

    def test_no_path_user_or_host_but_in_run_json(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        import getpass
        import socket

        folder = screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny).folder
        for path in folder.iterdir():
            if path.suffix in (".json", ".geojson", ".csv") and path.name != "run.json":
                text = path.read_text()
                for word in (str(tmp_path), socket.gethostname(), f"/{getpass.getuser()}/"):
                    assert word not in text, path.name

    def test_zero_candidates_are_a_valid_result(self, coded_slide: Path, tiny: Classifier, tmp_path: Path) -> None:
        (tmp_path / "none.csv").write_text("x,y\n")
        result = screen_slide(coded_slide, tmp_path / "none.csv", out=tmp_path / "out", model=tiny)
        assert {path.name for path in result.folder.iterdir()} == FILES
        assert result.summary["n_candidates"] == result.summary["n_ok"] == 0
        assert result.summary["amf_fraction"] is None
        assert "not estimable" in result.summary["amf_fraction_status"]
        assert check_qupath_geojson(result.folder / "detections.geojson") == []

    def test_agreement_with_labels_in_the_points_file(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        plain = screen_slide(coded_slide, points, out=tmp_path / "plain", model=tiny)
        assert plain.summary["label_agreement"] is None
        assert "no AMF or NMF labels" in plain.summary["label_agreement_status"]
        labels = plain.table["label"].tolist()
        path = tmp_path / "labelled.csv"
        other = {"AMF": "NMF", "NMF": "AMF"}
        path.write_text(
            "x,y,label,expert_Ann,expert_Bob\n"
            f"200,200,{labels[0]},{labels[0]},\n500,400,{other[labels[1]]},{labels[1]},\n990,795,mitotic figure,,\n"
        )
        found = screen_slide(coded_slide, path, out=tmp_path / "out", model=tiny, raters=("Ann",))
        agreement = found.summary["label_agreement"]
        assert (agreement["n"], agreement["agreement"]) == (2, 0.5)
        assert {name: (one["n"], one["agreement"]) for name, one in agreement["raters"].items()} == {"Ann": (2, 1.0)}
        assert json.loads((found.folder / "run.json").read_text())["options"]["raters"] == ["Ann"]

    def test_non_mitotic_rows_are_classified_but_never_count(
        self, coded_slide: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        path = tmp_path / "labelled.csv"
        path.write_text("x,y,label\n200,200,mitotic figure\n500,400,non-mitotic\n")
        out = tmp_path / "out"
        result = screen_slide(coded_slide, path, out=out, model=tiny, include_non_mitotic=True)
        assert result.table["status"].tolist() == ["ok", "non_mitotic"]
        assert result.table["p_atypical"].notna().all()
        assert (result.summary["n_ok"], result.summary["n_candidates"]) == (1, 2)
        assert screen_slide(coded_slide, path, out=tmp_path / "b", model=tiny).summary["n_candidates"] == 1

    @pytest.mark.parametrize(("threshold", "used"), [("balanced", 0.5), ("count", 0.6), (0.62, 0.62)])
    def test_the_threshold_in_use_is_named(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path, threshold: str | float, used: float
    ) -> None:
        result = screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, threshold=threshold)
        counted = result.table[result.table["status"] == "ok"]
        assert ((counted["p_atypical"] >= used) == (counted["label"] == "AMF")).all()
        assert str(used) in json.dumps(result.summary)

    def test_own_error_rates_give_an_adjusted_fraction(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        rates = {
            "domain": "ours",
            "threshold": "count",
            "n_amf": 60,
            "n_nmf": 240,
            "sensitivity": 0.8,
            "specificity": 0.9,
        }
        path = tmp_path / "rates.json"
        path.write_text(json.dumps(rates))
        without = screen_slide(coded_slide, points, out=tmp_path / "a", model=tiny).summary
        assert without["amf_fraction_error_adjusted"] is None
        result = screen_slide(coded_slide, points, out=tmp_path / "b", model=tiny, error_rates=path)
        share = result.summary["amf_fraction"]
        assert result.summary["amf_fraction_error_adjusted"]["unclipped"] == pytest.approx(
            (share + 0.9 - 1) / (0.8 + 0.9 - 1), rel=1e-5
        )
        with pytest.raises(ConfigError, match="pass --threshold count"):
            screen_slide(coded_slide, points, out=tmp_path / "c", model=tiny, error_rates=path, threshold="balanced")
        path.write_text(json.dumps(rates | {"sensitivity": 8}))
        with pytest.raises(ConfigError, match=r"rates\.json: sensitivity"):
            screen_slide(coded_slide, points, out=tmp_path / "c", model=tiny, error_rates=path)


class TestPixels:
    def test_pasted_crops_get_the_probabilities_of_predict(self, shared_data: Path, tmp_path: Path) -> None:
        """On a lossless slide, screening and predicting the same crops agree to 1e-4, in the order of the points."""
        files = sorted((shared_data / "crops" / "AtNorM-MD" / "Atypical").glob("*.png"))[:12]
        files += sorted((shared_data / "crops" / "AMi-Br" / "patches" / "normal").glob("*.png"))[:12]
        canvas = np.full((800, 1200, 3), 240, dtype=np.uint8)
        rng = np.random.default_rng(0)
        places = [(64 + 150 * (k % 8) + int(rng.integers(9)), 64 + 150 * (k // 8)) for k in range(len(files))]
        for file, (x, y) in zip(files, places, strict=True):
            canvas[y - 64 : y + 64, x - 64 : x + 64] = np.asarray(Image.open(file).convert("RGB"))
        write_pyramid_tiff(tmp_path / "pasted.tiff", canvas, 0.25)
        order = rng.permutation(len(files))
        rows = [f"{files[k].name},{places[k][0]},{places[k][1]}" for k in order]
        (tmp_path / "points.csv").write_text("\n".join(["id,x,y", *rows]) + "\n")

        model = load_model(device="cpu")
        result = screen_slide(tmp_path / "pasted.tiff", tmp_path / "points.csv", out=tmp_path / "out", model=model)
        table = result.table.set_index("candidate_id")
        expected = predict_crops(find_crops(files), model, threshold=0.5).set_index("file").loc[table.index]
        for column in ("p_atypical", "p_hard", *expert_columns(len(model.spec.experts))):
            assert np.allclose(table[column], expected[column], atol=1e-4), column
        assert any("trained on" in text for text in result.warnings)

    def test_plain_region_tiff_gives_the_same_as_a_pyramid(
        self, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        pixels = coordinate_coded(1000, 800)
        pyramid = write_pyramid_tiff(tmp_path / "a.tiff", pixels, 0.25)
        plain = write_plain_tiff(tmp_path / "b.tiff", pixels, 0.25)
        first, second = (screen_slide(path, points, out=tmp_path / "out", model=tiny) for path in (pyramid, plain))
        assert np.allclose(first.table["p_atypical"], second.table["p_atypical"], equal_nan=True, atol=1e-6)

    def test_a_20x_slide_is_upsampled_and_says_so(self, shared_data: Path, tiny: Classifier, tmp_path: Path) -> None:
        slide = shared_data / "slides" / "CMU-1-Small-Region.svs"
        (tmp_path / "points.csv").write_text("x,y\n600,700\n1000,1500\n1500.5,2000\n")
        result = screen_slide(slide, tmp_path / "points.csv", out=tmp_path / "out", model=tiny)
        assert "upsampled" in result.summary["flags"]
        assert json.loads((result.folder / "run.json").read_text())["reading"]["upsampled"]
        assert any("upsampled" in text for text in result.warnings)

    def test_points_on_glass_are_flagged(self, tiny: Classifier, tmp_path: Path) -> None:
        pixels = np.full((800, 1000, 3), 245, dtype=np.uint8)
        pixels[:, :300] = (180, 90, 160)
        slide = write_pyramid_tiff(tmp_path / "half.tiff", pixels, 0.25)
        (tmp_path / "points.csv").write_text("x,y\n100,100\n600,200\n700,300\n800,400\n")
        with pytest.raises(CandidateError, match=r"3 of 4 points lie off the tissue.*--force"):
            screen_slide(slide, tmp_path / "points.csv", out=tmp_path / "out", model=tiny)
        result = screen_slide(slide, tmp_path / "points.csv", out=tmp_path / "out", model=tiny, force=True)
        assert "points_do_not_fit" in result.summary["flags"]
        assert "most_points_on_background" in result.summary["flags"]
        assert any("3 of 4 candidates lie on background" in text for text in result.warnings)

    def test_regions_set_candidates_aside(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        ring = [[0, 0], [400, 0], [400, 400], [0, 400], [0, 0]]
        (tmp_path / "roi.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        result = screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, roi=tmp_path / "roi.geojson")
        assert result.table["status"].tolist() == ["ok", "outside_roi", "outside_roi", "outside_roi"]
        assert result.summary["area_kind"] == "roi"
        assert result.summary["area_mm2"] == pytest.approx(0.01)


class TestOverwriting:
    def test_geojson_is_compressed_on_request_and_replaced_by_either_kind(
        self, tiny: Classifier, coded_slide: Path, points: Path, tmp_path: Path
    ) -> None:
        plain = screen_slide(coded_slide, points, out=tmp_path / "plain", model=tiny).folder
        folder = tmp_path / "out" / "slide"
        for wanted, kind in ((True, "geojson.gz"), (False, "geojson"), (True, "geojson.gz")):
            screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, overwrite=True, gzip_geojson=wanted)
            names = {f"detections.{kind}", f"review.{kind}"}
            assert {path.name for path in folder.iterdir() if "geojson" in path.name} == names
            assert names < set(json.loads((folder / "run.json").read_text())["outputs"])
            for name in names:
                assert check_qupath_geojson(folder / name) == []
        for name in ("detections.geojson", "review.geojson"):
            packed = (folder / f"{name}.gz").read_bytes()
            assert gzip.decompress(packed) == (plain / name).read_bytes()

    def test_an_earlier_result_stays_without_overwrite(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        folder = screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny).folder
        before = hashes(folder)
        with pytest.raises(OutputExistsError, match="--overwrite"):
            screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny)
        assert hashes(folder) == before
        screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, overwrite=True, threshold=0.1)
        assert hashes(folder)["predictions.csv"] != before["predictions.csv"]
        assert list((tmp_path / "out").iterdir()) == [folder]

    def test_a_folder_that_is_not_ours_is_never_touched(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        users = tmp_path / "out" / "slide"
        users.mkdir(parents=True)
        (users / "thesis.txt").write_text("mine")
        with pytest.raises(OutputExistsError, match=r"holds no run\.json of wsiamf"):
            screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, overwrite=True)
        assert (users / "thesis.txt").read_text() == "mine"

    def test_a_file_laid_beside_ours_is_never_deleted(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        folder = screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny).folder
        (folder / "notes.txt").write_text("mine")
        with pytest.raises(OutputExistsError, match=r"holds notes\.txt, which wsiamf did not write"):
            screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, overwrite=True)
        assert (folder / "notes.txt").read_text() == "mine"

    def test_another_slides_folder_is_an_error_even_with_overwrite(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
    ) -> None:
        screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny)
        other = write_pyramid_tiff(tmp_path / "slide.tif", coordinate_coded(1000, 800)[::-1], 0.25)
        with pytest.raises(OutputExistsError, match=r"another slide.*--slide-id"):
            screen_slide(other, points, out=tmp_path / "out", model=tiny, overwrite=True)
        assert screen_slide(other, points, out=tmp_path / "out", model=tiny, slide_id="two").folder.name == "two"


def spoil(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


class TestBadInput:
    """One clear error each, and nothing half-written."""

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, tmp_path: Path) -> Any:
        yield
        assert not (tmp_path / "out").exists()

    def check(self, error: type[WsiamfError], match: str, slide: Path, points: Path, out: Path, **options: Any) -> None:
        with pytest.raises(error, match=match) as caught:
            screen_slide(slide, points, out=out, **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "error", "match"),
        [
            ("no.svs", SlideNotFoundError, r"no\.svs"),
            ("broken.svs", UnsupportedSlideError, r"broken\.svs"),
            ("unopenable.tiff", UnsupportedSlideError, r"unopenable\.tiff"),
        ],
    )
    def test_slides(
        self, shared_data: Path, points: Path, tmp_path: Path, name: str, error: type[WsiamfError], match: str
    ) -> None:
        self.check(error, match, shared_data / "slides" / name, points, tmp_path / "out")

    @pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
    def test_a_truncated_slide(self, shared_data: Path, points: Path, tmp_path: Path, keep: float) -> None:
        whole = (shared_data / "slides" / "CMU-1-Small-Region.svs").read_bytes()
        cut = spoil(tmp_path / "cut.svs", whole[: int(len(whole) * keep)])
        self.check(UnsupportedSlideError, r"cut\.svs", cut, points, tmp_path / "out")

    def test_tiles_that_fail_name_the_candidates(self, shared_data: Path, tiny: Classifier, tmp_path: Path) -> None:
        points = spoil(tmp_path / "p.csv", "id,x,y\nfirst,4,4\n")
        slide = shared_data / "slides" / "unreadable.svs"
        self.check(
            SlideReadError,
            r"1 of 1 candidates are unreadable \(first\).*--max-unreadable",
            slide,
            points,
            tmp_path / "out",
            mpp=0.25,
            model=tiny,
        )

    def test_no_mpp(self, points: Path, tmp_path: Path) -> None:
        slide = write_pyramid_tiff(tmp_path / "s.tiff", coordinate_coded(1000, 800), None)
        self.check(MppError, "--mpp", slide, points, tmp_path / "out")

    @pytest.mark.parametrize("mpp", [(0.25, 0.5), (352.8, 352.8)])
    def test_absurd_or_anisotropic_mpp(self, points: Path, tmp_path: Path, mpp: tuple[float, float]) -> None:
        slide = write_pyramid_tiff(tmp_path / "s.tiff", coordinate_coded(1000, 800), mpp)
        self.check(MppError, "--mpp", slide, points, tmp_path / "out")

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ("", r"p\.csv"),
            ("a,b\n1,2\n", r"p\.csv.*x"),
            ("x,y\n1,two\n", r"p\.csv.*row 1"),
            ("x,y\n5,5\nnan,2\n", r"p\.csv.*row 2"),
            ("x,y\n5,5\n6,6\ninf,2\n", r"p\.csv.*row 3"),
            ("x,y\n5000,5\n", r"p\.csv.*row 1"),
            (b"\x89PNG\r\n\x1a\n\x00\x00\x00", r"p\.csv"),
            ("filename,x,y\nother.svs,1,1\n", r"p\.csv.*other\.svs"),
        ],
    )
    def test_points(self, coded_slide: Path, tmp_path: Path, content: str | bytes, match: str) -> None:
        self.check(CandidateError, match, coded_slide, spoil(tmp_path / "p.csv", content), tmp_path / "out")

    def test_points_file_missing(self, coded_slide: Path, tmp_path: Path) -> None:
        self.check(PointsNotFoundError, r"gone\.csv", coded_slide, tmp_path / "gone.csv", tmp_path / "out")

    def test_midog_json_without_this_slide_names_the_nearest(self, shared_data: Path, tmp_path: Path) -> None:
        slide = write_pyramid_tiff(tmp_path / "0021.tiff", coordinate_coded(1000, 800), 0.25)
        self.check(
            CandidateError, r"MIDOG\+\+\.json.*nearest.*021\.tiff", slide, shared_data / "annotations" / "MIDOG++.json",
            tmp_path / "out",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ("", r"roi\.geojson"),
            ("{", r"roi\.geojson"),
            ('{"type": "FeatureCollection", "features": []}', r"roi\.geojson"),
            (
                '{"type": "Polygon", "coordinates": [[[5000,5000],[6000,5000],[6000,6000],[5000,5000]]]}',
                r"roi\.geojson",
            ),
        ],
    )
    def test_regions(self, coded_slide: Path, points: Path, tmp_path: Path, content: str, match: str) -> None:
        roi = spoil(tmp_path / "roi.geojson", content)
        self.check(RegionError, match, coded_slide, points, tmp_path / "out", roi=roi)

    def test_models(self, coded_slide: Path, points: Path, tmp_path: Path) -> None:
        self.check(BundleError, "no such model", coded_slide, points, tmp_path / "out", model="gone")
        (tmp_path / "empty").mkdir()
        self.check(BundleError, "incomplete", coded_slide, points, tmp_path / "out", model=tmp_path / "empty")
        tiny_bundle(tmp_path / "altered")
        with (tmp_path / "altered" / "model.safetensors").open("ab") as stream:
            stream.write(b"\0")
        self.check(BundleError, "altered", coded_slide, points, tmp_path / "out", model=tmp_path / "altered")

    def test_options(self, coded_slide: Path, points: Path, tmp_path: Path, tiny: Classifier) -> None:
        self.check(ConfigError, "hotspot_mm2", coded_slide, points, tmp_path / "out", model=tiny, hotspot_mm2=-1)
        self.check(ConfigError, "hotspots", coded_slide, points, tmp_path / "out", model=tiny, hotspots=1)
        self.check(ConfigError, "--slide-id", coded_slide, points, tmp_path / "out", model=tiny, slide_id="../x")

    def test_an_output_that_cannot_be_written(self, coded_slide: Path, points: Path, tiny: Classifier) -> None:
        with pytest.raises(OutputError, match=r"cannot be written"):
            screen_slide(coded_slide, points, out="/proc/wsiamf", model=tiny)

    def test_ctrl_c_leaves_nothing(self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path) -> None:
        def interrupt(_done: int, _total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            screen_slide(coded_slide, points, out=tmp_path / "out", model=tiny, on_progress=interrupt)

    def test_a_slide_that_shrinks_while_it_is_read(self, tiny: Classifier, tmp_path: Path) -> None:
        slide = write_pyramid_tiff(tmp_path / "s.tiff", coordinate_coded(2000, 2000), 0.25, compression=None)
        places = np.random.default_rng(0).integers(70, 1930, (400, 2))
        points = spoil(tmp_path / "p.csv", "\n".join(["x,y", *(f"{x},{y}" for x, y in places)]))

        def shrink(_done: int, _total: int) -> None:
            os.truncate(slide, 65_536)

        self.check(
            SlideReadError,
            r"s\.tiff: \d+ of 400 candidates are unreadable .*the file ends within it",
            slide,
            points,
            tmp_path / "out",
            model=tiny,
            merge_um=0,
            on_progress=shrink,
        )

    def test_a_thread_that_fails(
        self, coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read(tiles: LocalRanges, offset: int, count: int) -> bytes:
            if threading.current_thread().name.startswith("wsiamf-read"):
                raise MemoryError
            return whole(tiles, offset, count)

        whole = LocalRanges.read
        monkeypatch.setattr(LocalRanges, "read", read)
        self.check(SlideReadError, "reading broke off: MemoryError", coded_slide, points, tmp_path / "out", model=tiny)


def test_some_unreadable_candidates_are_rows(shared_data: Path, tiny: Classifier, tmp_path: Path) -> None:
    points = spoil(tmp_path / "p.csv", "id,x,y\nfirst,4,4\n")
    slide = shared_data / "slides" / "unreadable.svs"
    result = screen_slide(slide, points, out=tmp_path / "out", mpp=0.25, model=tiny, max_unreadable=1.0)
    assert result.table["status"].tolist() == ["unreadable"]
    assert result.summary["n_ok"] == 0
    assert any("first" in text for text in result.warnings)


def test_the_slide_is_known_by_content_not_by_path(
    coded_slide: Path, points: Path, tiny: Classifier, tmp_path: Path
) -> None:
    first = screen_slide(coded_slide, points, out=tmp_path / "a", model=tiny).table["uuid"]
    copy = shutil.copy(coded_slide, tmp_path / "renamed.tiff")
    assert screen_slide(copy, points, out=tmp_path / "b", model=tiny).table["uuid"].tolist() == first.tolist()
