"""``wsiamf calibrate``: what is refitted, refused, warned of and written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit
from torch import Tensor, nn

from tests.tiny_model import tiny_bundle
from wsiamf.bundle import WEIGHTS, Bundle, open_bundle, write_bundle
from wsiamf.cli.main import run
from wsiamf.crops import crop_hash
from wsiamf.errors import ConfigError, OutputExistsError, TrainingError
from wsiamf.files import sha256_bytes
from wsiamf.inference import Classifier
from wsiamf.inference.classifier import mean_expert_logit, safe_logit
from wsiamf.model import build_preprocess
from wsiamf.spec import Calibration, Thresholds, TrainingData, load_error_rates
from wsiamf.training.labels import LabelledCrops, hardness
from wsiamf.training.readers.label_table import LabelTable
from wsiamf.training.recalibration.before_after import BRIER
from wsiamf.training.recalibration.calibrate import ERROR_RATES, RECORD, calibrate_bundle, check_figures
from wsiamf.training.recalibration.representative import picked_as_hard
from wsiamf.weights import load_networks, store_weights

Floats = NDArray[np.float64]
N = 160
PER_SLIDE = 8
IN_COLUMN = "marked in the column hard"
TAKEN = "taken from hard_cases.csv (columns rank, reason)"


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Crops of many colours."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (N, 1, 1, 3)) + rng.integers(-30, 30, (N, 128, 128, 3))
    coloured: NDArray[np.uint8] = levels.clip(1, 255).astype(np.uint8)
    return coloured


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, crops: NDArray[np.uint8]) -> Bundle:
    """A model that tells crops apart, and whose calibration is far off for the labels below."""
    thresholds = Thresholds(balanced=0.5, count=0.6, hard=0.9, experts=(0.55, 0.65))
    made = tiny_bundle(
        tmp_path_factory.mktemp("parent") / "tiny", thresholds=thresholds, calibration=Calibration(a=1.0, b=2.0)
    )
    network = load_networks(made)[0]
    with torch.inference_mode():
        shared = network.shared(network.forward_features(build_preprocess(made.spec)(torch.from_numpy(crops))))
        for head in network.heads.values():
            spread_logits(head, shared)
    weights = store_weights(network)
    spec = made.spec.model_copy(update={"weights_sha256": sha256_bytes(weights)})
    return write_bundle(made.folder, weights, spec, card="# tiny\n", licenses="none\n")


def spread_logits(head: nn.Module, features: Tensor) -> None:
    """Scale an untrained head so that its logits lie round 0 with a deviation of 1."""
    assert isinstance(head, nn.Linear)
    logits = head(features)
    head.weight.div_(logits.std())
    head.bias.sub_(head(features).mean(dim=0))


@pytest.fixture(scope="module")
def labelled(parent: Bundle, crops: NDArray[np.uint8]) -> LabelledCrops:
    """Crops whose labels follow the model's own logits, so that there is a calibration to find."""
    rng = np.random.default_rng(1)
    said = Classifier(parent, device="cpu").predict(crops)
    z, z_hard = (standardised(one) for one in (mean_expert_logit(said.p_experts_NK), safe_logit(said.p_hard)))
    amf = (rng.random(N) < expit(2 * z - 1)).astype(float)
    split = rng.random(N) < expit(2 * z_hard - 1)
    votes = pd.DataFrame({"lab/1": amf, "lab/2": np.where(split, 1 - amf, amf), "lab/3": amf})
    return labelled_crops(crops, votes, slides=[f"{row // PER_SLIDE}.svs" for row in range(N)])


def standardised(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / values.std())


def labelled_crops(crops: NDArray[np.uint8], votes: pd.DataFrame, slides: list[str]) -> LabelledCrops:
    table = pd.DataFrame(
        {
            "set": "lab",
            "file": [f"{row}.png" for row in range(len(crops))],
            "slide": slides,
            "case": pd.Series([None] * len(crops), dtype=object),
            "domain": None,
            "x": np.nan,
            "y": np.nan,
            "weight": 1.0,
            "amf": (votes.mean(axis=1) > 0.5).astype(float),
            "hard": hardness(votes),
            "n_votes": votes.notna().sum(axis=1),
        }
    )
    return LabelledCrops(crops, table, votes, np.full((len(crops), 2), -1, dtype=np.int64))


def changed(data: LabelledCrops, **columns: Any) -> LabelledCrops:
    return replace(data, table=data.table.assign(**columns))


class TestRefit:
    def test_the_decision_is_new_and_the_weights_are_the_parents(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        found = calibrate_bundle(parent, labelled, tmp_path / "new", device="cpu")
        spec = found.bundle.spec
        assert (found.bundle.folder / WEIGHTS).read_bytes() == (parent.folder / WEIGHTS).read_bytes()
        assert (spec.name, spec.parent) == ("tiny-recalibrated", parent.sha256)
        assert spec.calibration != parent.spec.calibration
        assert spec.thresholds.balanced == pytest.approx(labelled.amf.mean(), abs=1e-4)
        p = Classifier(found.bundle, device="cpu").predict(labelled.crops_NSS3).p_atypical
        assert p.mean() == pytest.approx(labelled.amf.mean(), abs=0.01)
        assert (p >= spec.thresholds.count).mean() == pytest.approx(labelled.amf.mean(), abs=0.05)
        assert spec.hardness_calibration != parent.spec.hardness_calibration
        assert spec.conformal is not None
        assert spec.conformal.n_amf == labelled.amf.sum()
        assert set(spec.trained_on.crops) == {crop_hash(crop) for crop in labelled.crops_NSS3}

    def test_before_and_after_are_measured_on_the_same_figures(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        found = calibrate_bundle(parent, labelled, tmp_path / "new", device="cpu")
        p = Classifier(parent, device="cpu").predict(labelled.crops_NSS3).p_atypical
        brier = next(one for one in found.changes if one.name == BRIER)
        assert brier.before.value == pytest.approx(np.mean((p - labelled.amf) ** 2))
        assert brier.after.value < brier.before.value
        assert brier.difference.value == pytest.approx(brier.after.value - brier.before.value)
        assert brier.difference.low < brier.difference.value < brier.difference.high < 0
        assert found.verdict.startswith("the refit is better")
        card = found.bundle.read_card()
        assert card.startswith("# tiny")
        assert "## Recalibrated: tiny-recalibrated" in card
        assert str(brier.after) in card
        assert "no guarantee on other material" in card
        assert json.loads((tmp_path / "new" / RECORD).read_text())["parent_sha256"] == parent.sha256

    def test_error_rates_are_out_of_fold_and_screen_reads_them(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        found = calibrate_bundle(parent, labelled, tmp_path / "new", device="cpu")
        rates = load_error_rates(tmp_path / "new" / ERROR_RATES)
        assert (rates.threshold, rates.domain, rates.model) == ("count", "lab", "tiny-recalibrated")
        assert rates.n_amf + rates.n_nmf == N
        assert found.bundle.spec.error_rates[1] == rates
        assert {one.domain for one in found.bundle.spec.error_rates} == {"lab"}  # the parent's are of other cut-offs
        sensitivity = next(one for one in found.changes if one.name == "sensitivity at `count`")
        assert rates.sensitivity == pytest.approx(sensitivity.after.value, abs=1e-4)

    def test_a_refit_that_does_not_help_is_said_so(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        good = calibrate_bundle(parent, labelled, tmp_path / "good", device="cpu").bundle
        again = calibrate_bundle(good, labelled, tmp_path / "again", device="cpu")
        assert again.verdict.startswith("the refit does not improve on the parent")
        assert "does not improve on the parent" in again.bundle.read_card()

    def test_what_the_labels_do_not_tell_stays_the_parents(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        alone = changed(labelled, hard=np.nan, n_votes=1)
        spec = calibrate_bundle(parent, alone, tmp_path / "new", device="cpu").bundle.spec
        assert spec.hardness_calibration == parent.spec.hardness_calibration
        assert spec.thresholds.hard == parent.spec.thresholds.hard
        first, second = spec.thresholds.experts
        old_first, old_second = parent.spec.thresholds.experts
        gap = safe_logit(np.array([second, old_second])) - safe_logit(np.array([first, old_first]))
        assert gap[0] == pytest.approx(gap[1], abs=0.01)  # both moved by as much as ``count`` did

    def test_a_head_whose_rater_voted_gets_its_own_cut(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        own = labelled.votes.rename(columns={"lab/1": "ami-br/1"})
        spec = calibrate_bundle(parent, replace(labelled, votes=own), tmp_path / "new", device="cpu").bundle.spec
        said = Classifier(parent, device="cpu").predict(labelled.crops_NSS3)
        called = said.p_experts_NK[:, 0] >= spec.thresholds.experts[0]
        assert called.mean() == pytest.approx(own["ami-br/1"].mean(), abs=0.05)

    def test_same_input_same_bytes(self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path) -> None:
        one, other = (calibrate_bundle(parent, labelled, tmp_path / name, device="cpu").bundle for name in "ab")
        assert one.sha256 == other.sha256
        for file in one.folder.iterdir():
            assert file.read_bytes() == (other.folder / file.name).read_bytes()


class TestRefusals:
    def test_too_few_figures_of_a_class_or_slide(self, labelled: LabelledCrops) -> None:
        with pytest.raises(TrainingError, match="there are 60: "):
            check_figures(labelled.subset(np.arange(60)))
        few = np.where(np.cumsum(labelled.amf) <= 9, labelled.amf, 0)
        with pytest.raises(TrainingError, match="there are 160: 9 AMF and 151 NMF"):
            check_figures(changed(labelled, amf=few))
        with pytest.raises(TrainingError, match=r"all AMF are of one slide or case \(lab/one\)"):
            check_figures(changed(labelled, slide=np.where(labelled.amf == 1, "one", labelled.table["slide"])))

    @pytest.mark.parametrize("sign", ["votes", "p_hard", "column"])
    def test_hard_cases_alone(self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path, sign: str) -> None:
        data, marked = labelled, {}
        if sign == "votes":
            data = changed(labelled, hard=1.0)
        elif sign == "p_hard":
            thresholds = parent.spec.thresholds.model_copy(update={"hard": 0.0})
            parent = replace(parent, spec=parent.spec.model_copy(update={"thresholds": thresholds}))
        else:
            marked = {IN_COLUMN: 0.95}
        with pytest.raises(TrainingError, match=r"of the labelled figures are hard cases .* drawn at random"):
            calibrate_bundle(parent, data, tmp_path / "new", marked_hard=marked, device="cpu")
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        ("rows", "marked"),
        [
            ("file,label,hard\na,AMF,True\nb,NMF,False\nc,NMF,true\nd,NMF,TRUE\n", {IN_COLUMN: 0.75}),
            ("file;label;hard\na;AMF;True\nb;NMF;False\n", {IN_COLUMN: 0.5}),
            ("file,label,rank,reason\na,AMF,1,near the threshold\nb,NMF,,\n", {TAKEN: 0.5}),
            ("file,label,rank,hard\na,AMF,1,\n", {}),
        ],
    )
    def test_marks_of_a_worklist_are_found(self, tmp_path: Path, rows: str, marked: dict[str, float]) -> None:
        (tmp_path / "reviewed.csv").write_text(rows)
        assert picked_as_hard(LabelTable.read(tmp_path / "reviewed.csv", ["file"])) == marked

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "not a readable CSV"),
            (b"\x89PNG\r\n\x1a\n\0\xff", "not a readable CSV"),
            (b"label\nAMF\n", "lacks the column"),
            (b"file;label;inclusion_probability\na;AMF;1\nb;NMF;0.2\n", "--random-only"),
        ],
    )
    def test_a_file_that_is_no_such_sample(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
    ) -> None:
        path = tmp_path / "labels.csv"
        path.write_bytes(content)
        assert run(["calibrate", "--labels", str(path), "--out", str(tmp_path / "new")]) == 1
        told = capsys.readouterr().err
        assert told.startswith(f"wsiamf: error: {path}: ")
        assert said in told

    def test_a_wrong_name_and_a_foreign_folder(self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="--name a b: name"):
            calibrate_bundle(parent, labelled, tmp_path / "new", name="a b", device="cpu")
        with pytest.raises(OutputExistsError, match="was not written by `wsiamf calibrate`"):
            calibrate_bundle(parent, labelled, parent.folder, overwrite=True, device="cpu")

    def test_overwrite_replaces_an_earlier_result(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path
    ) -> None:
        calibrate_bundle(parent, labelled, tmp_path / "new", device="cpu")
        with pytest.raises(OutputExistsError, match="--overwrite"):
            calibrate_bundle(parent, labelled, tmp_path / "new", device="cpu")
        calibrate_bundle(parent, labelled, tmp_path / "new", name="other", overwrite=True, device="cpu")
        assert open_bundle(tmp_path / "new").spec.name == "other"


class TestWarnings:
    def test_crops_and_slides_of_the_training(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen = TrainingData(slides=("x/3.tiff",), crops=tuple(crop_hash(crop) for crop in labelled.crops_NSS3[:7]))
        known = replace(parent, spec=parent.spec.model_copy(update={"trained_on": seen}))
        calibrate_bundle(known, labelled, tmp_path / "new", device="cpu")
        assert "trained on 7 of the 160 labelled crops" in caplog.text
        assert "1 slide(s) of these names (x/3.tiff)" in caplog.text

    def test_most_of_them_hard_and_no_slides(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = changed(labelled, hard=(np.arange(N) % 3 > 0).astype(float), slide=None)
        calibrate_bundle(parent, data, tmp_path / "new", device="cpu")
        assert "66% of the labelled figures are hard cases (their raters disagree)" in caplog.text
        assert "the intervals are too narrow" in caplog.text


class TestCommand:
    def test_from_a_reviewed_manifest(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_manifest(tmp_path / "reviewed.csv", labelled)
        arguments = ["--model", str(parent.folder), "--labels", str(tmp_path / "reviewed.csv"), "--device", "cpu"]
        assert run(["calibrate", *arguments, "--out", str(tmp_path / "new")]) == 0
        shown = capsys.readouterr()
        assert shown.out.strip() == str(tmp_path / "new")
        assert "Brier score: " in shown.err
        assert "the refit is better" in shown.err
        assert open_bundle(tmp_path / "new").spec.error_rates[0].domain == "reviewed"
        assert run(["calibrate", *arguments, "--out", str(tmp_path / "new")]) == 1
        assert "--overwrite" in capsys.readouterr().err

    def test_too_few_rows_is_one_line(
        self, parent: Bundle, labelled: LabelledCrops, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_manifest(tmp_path / "few.csv", labelled.subset(np.arange(20)))
        arguments = ["--model", str(parent.folder), "--labels", str(tmp_path / "few.csv"), "--out", str(tmp_path / "n")]
        assert run(["calibrate", *arguments]) == 1
        error = capsys.readouterr().err
        assert "calibration needs 100 or more labelled figures" in error
        assert error.count("\n") == 1


def write_manifest(path: Path, data: LabelledCrops) -> None:
    """The plain manifest and its crops, in the CSV's own folder."""
    for file, crop in zip(data.table["file"], data.crops_NSS3, strict=True):
        Image.fromarray(crop).save(path.parent / file, compress_level=1)
    labels = data.table["amf"].map({1.0: "AMF", 0.0: "NMF"})
    votes = data.votes.rename(columns=lambda rater: f"vote_{rater}").astype(int)
    pd.concat([data.table[["file", "slide"]], labels.rename("label"), votes], axis=1).to_csv(path, index=False)
