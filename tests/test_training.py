"""Labelled sets, splits, calibration, the loop, and a whole tiny run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wsiamf.bundle import open_bundle
from wsiamf.config import TrainConfig, configs_folder, load_train_config, parse_train_config
from wsiamf.crops import crop_hash
from wsiamf.errors import ConfigError, TrainingError
from wsiamf.inference import Classifier
from wsiamf.training.crossval import cross_validate, withhold
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
                {"kind": "atnorm-md", "path": "AtNorM-MD", "use": "train"},
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


class TestConfig:
    def test_every_shipped_configuration_loads(self) -> None:
        files = [file for file in configs_folder().rglob("*.yaml") if file.parent.name != "cluster"]
        assert files
        for file in files:
            assert load_train_config(file).name

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"surprise": 1}, "surprise: Extra inputs"),
            ({"fit": {"epochs": 0, "lr_backbone": 1, "lr_heads": 1}}, "fit.epochs"),
            ({"data": {"sets": []}}, "data.sets"),
            ({"loss": {"phase_weight": 0.0}}, "network.phase: true and loss.phase_weight above 0 go together"),
        ],
    )
    def test_wrong_values_are_named(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            tiny_config(**changes)


def all_data_config(**changes: Any) -> TrainConfig:
    """A recipe that holds nothing out."""
    sets = tiny_config().data.model_dump()["sets"]
    fit = {"epochs": 4, "batch_size": 8, "lr_backbone": 3e-3, "lr_heads": 1e-2, "ema_decay": 0.5, "keep": "last"}
    values = {"data": {"sets": sets, "split": {"validation": 0, "test": 0}}, "fit": fit, "crossval": {"folds": 3}}
    return tiny_config(**(values | changes))


def test_a_run_with_parts_gives_a_bundle_whose_figures_are_its_own(data_root: Path, tmp_path: Path) -> None:
    bundle = train_model(tiny_config(), data_root, tmp_path, device="cpu", workers=0)
    assert bundle == open_bundle(tmp_path / "bundle")
    spec = bundle.spec
    assert spec.experts == ("ami-br/1", "ami-br/2", "ami-br/3", *(f"atnorm-md/{k}" for k in range(1, 6)))
    assert {(one.domain, one.threshold) for one in spec.error_rates} == {("AMi-Br", "balanced"), ("AMi-Br", "count")}

    # The card's figures are those of the stored weights on crops that were not trained on.
    table = pd.read_csv(tmp_path / "test_predictions.csv")
    crops = np.stack([np.asarray(Image.open(data_root / "AMi-Br" / file)) for file in table["file"]])
    classifier = Classifier(bundle, backend="torch", device="cpu")  # as training measured
    assert np.allclose(classifier.predict(crops).p_atypical, table["p_atypical"], atol=1e-5)
    assert not {crop_hash(crop) for crop in crops} & set(spec.trained_on.crops)
    assert not set("AMi-Br/" + table["slide"]) & set(spec.trained_on.slides)
    assert "Research use only" in bundle.read_card()


def test_a_run_on_everything_is_calibrated_out_of_fold(data_root: Path, tmp_path: Path) -> None:
    config = all_data_config()
    cross_validate(config, data_root, tmp_path / "cv", device="cpu", workers=0)
    apart = withhold(config, ["atnorm-md"])
    cross_validate(apart, data_root, tmp_path / "apart", device="cpu", workers=0)
    folders = [tmp_path / "cv", tmp_path / "apart"]
    bundle = train_model(config, data_root, tmp_path / "run", crossvals=folders, device="cpu", workers=0)
    assert len(bundle.spec.trained_on.crops) == 84
    measured = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [(one["model"], one["domain"]) for one in measured[::2]] == [
        ("tiny, trained on ami-br and atnorm-md", "AMi-Br"),
        ("tiny, trained on ami-br", "AMi-Br"),
        ("tiny, trained on ami-br", "AtNorM-MD"),
    ]
    assert {one.domain: one.model for one in bundle.spec.error_rates} == {
        "AMi-Br": "tiny, trained on ami-br and atnorm-md",
        "AtNorM-MD": "tiny, trained on ami-br",
    }
    with pytest.raises(TrainingError, match="has heads ami-br/1, ami-br/2, ami-br/3, but the training sets give"):
        train_model(config, data_root, tmp_path / "other", crossvals=[tmp_path / "apart"], device="cpu", workers=0)


def test_a_run_on_everything_needs_a_crossvalidation_of_its_recipe(data_root: Path, tmp_path: Path) -> None:
    config = all_data_config()
    with pytest.raises(TrainingError, match="run `wsiamf crossval` first"):
        train_model(config, data_root, tmp_path / "run")
    with pytest.raises(TrainingError, match="not the folder of a cross-validation"):
        train_model(config, data_root, tmp_path / "run", crossvals=[tmp_path])
    cross_validate(config, data_root, tmp_path / "cv", only=[1], device="cpu", workers=0)
    with pytest.raises(TrainingError, match="1 of 3 folds are done"):
        train_model(config, data_root, tmp_path / "run", crossvals=[tmp_path / "cv"])
    other = all_data_config(loss={"theta": 0.7, "phase_weight": 0.2})
    with pytest.raises(TrainingError, match="is of another recipe; it differs in loss"):
        train_model(other, data_root, tmp_path / "run", crossvals=[tmp_path / "cv"])
