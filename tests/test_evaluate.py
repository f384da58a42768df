"""``wsiamf evaluate``: a bundle measured on a labelled set, and a table measured as it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.labelled_predictions import labelled_predictions
from tests.tiny_model import tiny_bundle
from tests.tiny_sets import write_ami_br
from wsiamf.bundle import Bundle
from wsiamf.cli.main import run
from wsiamf.config import SetConfig
from wsiamf.crops import crop_hash
from wsiamf.errors import OutputExistsError, TrainingError
from wsiamf.inference import Classifier
from wsiamf.spec import Calibration, Thresholds, TrainingData
from wsiamf.training.evaluate import evaluate_bundle, evaluate_table
from wsiamf.training.labels import LabelledCrops, read_labelled_set
from wsiamf.training.measuring import write_table

CALIBRATED: dict[str, Any] = {
    "calibration": Calibration(a=1.7, b=0.4),
    "hardness_calibration": Calibration(a=0.6, b=-0.8),
    "thresholds": Thresholds(balanced=0.45, count=0.55, hard=0.3, experts=(0.4, 0.6)),
}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "AMi-Br"
    write_ami_br(folder, np.random.default_rng(0))
    return folder


@pytest.fixture(scope="module")
def data(data_folder: Path) -> LabelledCrops:
    return read_labelled_set(SetConfig(kind="ami-br", path=str(data_folder), use="test"), Path())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("tiny"), **CALIBRATED)


def seen_bundle(folder: Path, data: LabelledCrops, slides: tuple[str, ...] = ()) -> Bundle:
    """A model that has seen the first ten crops and some slides."""
    crops = tuple(sorted(crop_hash(crop) for crop in data.crops_NSS3[:10]))
    return tiny_bundle(folder, **CALIBRATED, trained_on=TrainingData(sets=("AMi-Br",), slides=slides, crops=crops))


class TestEvaluateBundle:
    def test_predictions_are_the_models_own(self, bundle: Bundle, data: LabelledCrops, tmp_path: Path) -> None:
        done = evaluate_bundle(bundle, data, tmp_path / "out", device="cpu")
        table = pd.read_csv(tmp_path / "out" / "predictions.csv")
        said = Classifier(bundle, device="cpu").predict(data.crops_NSS3)
        assert table["p_atypical"].to_numpy() == pytest.approx(said.p_atypical, abs=1e-5)
        assert table["p_hard"].to_numpy() == pytest.approx(said.p_hard, abs=1e-5)
        assert table["p_ami-br/2"].to_numpy() == pytest.approx(said.p_experts_NK[:, 1], abs=1e-5)
        assert (table[["threshold_balanced", "threshold_count", "threshold_ami-br/2"]] == [0.45, 0.55, 0.6]).all(
            axis=None
        )
        assert (table["amf"].sum(), len(table)) == (20, 60)
        assert done.unseen is None
        assert done.figures.at("count")["threshold"] == pytest.approx(0.55)
        heads = done.figures.by_rater
        assert set(heads.loc[heads["judge"] == "head", "cut_off"].round(6)) == {0.4, 0.6}

    def test_a_table_of_it_gives_the_same_figures(self, bundle: Bundle, data: LabelledCrops, tmp_path: Path) -> None:
        evaluate_bundle(bundle, data, tmp_path / "one", device="cpu")
        evaluate_table(tmp_path / "one" / "predictions.csv", tmp_path / "two")
        one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
        assert one["pooled"] == two["pooled"]
        assert one["slide_agreement"] == two["slide_agreement"]

    def test_a_number_is_measured_beside_the_models_thresholds(
        self, bundle: Bundle, data: LabelledCrops, tmp_path: Path
    ) -> None:
        done = evaluate_bundle(bundle, data, tmp_path / "out", threshold=0.5, device="cpu")
        assert done.figures.pooled["threshold_name"].tolist() == ["balanced", "count", "given"]
        assert "at threshold given (0.5)" in done.sentences[0]

    def test_what_was_seen_is_named_and_left_out(
        self, data: LabelledCrops, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        trained = seen_bundle(tmp_path / "model", data, slides=("other/TUPAC16/05.svs", "other/06.tif"))
        done = evaluate_bundle(trained, data, tmp_path / "out", device="cpu")
        table = pd.read_csv(tmp_path / "out" / "predictions.csv", keep_default_na=False)
        assert table["seen"].tolist() == ["crop"] * 10 + [""] * 15 + ["slide"] * 5 + [""] * 30
        assert done.unseen is not None
        assert done.unseen.counts["n"] == 45
        assert done.figures.counts["n"] == 60
        assert "has seen 15 of these 60 figures" in caplog.text
        assert "10 by their very pixels, 5 more by the name of their slide" in caplog.text
        assert "has seen 15 of these 60 figures" in (tmp_path / "out" / "figures.html").read_text()
        assert (tmp_path / "out" / "unseen" / "figures.html").exists()
        assert done.sentences[0].startswith("not seen in training: 45 figures")

    def test_where_all_was_seen_it_says_so(
        self, data: LabelledCrops, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        ten = data.subset(np.arange(10))
        done = evaluate_bundle(seen_bundle(tmp_path / "model", data), ten, tmp_path / "out", device="cpu")
        assert done.unseen is None
        assert "nothing is left without them" in caplog.text
        assert not (tmp_path / "out" / "unseen").exists()


class TestOverwriting:
    @pytest.fixture
    def table(self, tmp_path: Path) -> Path:
        write_table(labelled_predictions(n_slides=3), tmp_path / "table.csv")
        return tmp_path / "table.csv"

    def test_only_with_overwrite_and_only_our_own(self, table: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        evaluate_table(table, out)
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        with pytest.raises(OutputExistsError, match="--overwrite"):
            evaluate_table(table, out)
        evaluate_table(table, out, overwrite=True)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        (out / "notes.txt").write_text("mine")
        with pytest.raises(OutputExistsError, match=r"notes\.txt, which wsiamf did not write"):
            evaluate_table(table, out, overwrite=True)
        assert (out / "notes.txt").read_text() == "mine"

    def test_a_foreign_folder_is_left_alone(self, table: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "run.json").write_text('{"schema": "wsiamf.run/1"}')
        with pytest.raises(OutputExistsError, match="not written by `wsiamf evaluate`"):
            evaluate_table(table, tmp_path / "out", overwrite=True)

    def test_a_failure_leaves_nothing(self, table: Path, tmp_path: Path) -> None:
        bad = pd.read_csv(table).assign(p_atypical=2.0)
        write_table(bad, table)
        with pytest.raises(TrainingError, match="p_atypical, row 1"):
            evaluate_table(table, tmp_path / "out")
        assert {path.name for path in tmp_path.iterdir()} == {"table.csv"}


class TestCommand:
    def test_a_model_on_a_set(
        self, bundle: Bundle, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = [str(data_folder), "--kind", "ami-br", "--model", str(bundle.folder), "--device", "cpu"]
        assert run(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 0
        shown = capsys.readouterr()
        assert shown.out == f"{tmp_path / 'out'}\n"
        assert "60 figures, 20 AMF: balanced accuracy" in shown.err
        assert "at threshold balanced (0.45), AUC" in shown.err
        record = json.loads((tmp_path / "out" / "run.json").read_text())
        assert record["model_sha256"] == bundle.sha256
        assert record["schema"] == "wsiamf.evaluation/1"
        assert str(tmp_path) not in (tmp_path / "out" / "metrics.json").read_text()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "give either DATA with its --kind, or --predictions"),
            (["data"], "--kind is needed with DATA"),
            (["data", "--kind", "ami-br", "--predictions", "t.csv"], "give either DATA"),
            (["--predictions", "t.csv", "--model", "default"], "--model has no meaning with --predictions"),
        ],
    )
    def test_wrong_usage(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["evaluate", *arguments, "--out", "out"]) == 2
        assert message in " ".join(capsys.readouterr().err.split())

    def test_a_missing_table_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["evaluate", "--predictions", str(tmp_path / "gone.csv"), "--out", str(tmp_path / "out")]) == 1
        assert capsys.readouterr().err.count("\n") == 1
        assert not (tmp_path / "out").exists()
