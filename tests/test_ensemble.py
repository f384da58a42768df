"""Several networks as one model."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny_model import tiny_bundle
from wsiamf.bundle import Bundle, open_bundle, write_bundle
from wsiamf.cli.main import run
from wsiamf.ensemble import combine_bundles, combine_networks
from wsiamf.errors import BundleError, ConfigError, OutputExistsError
from wsiamf.files import sha256_bytes
from wsiamf.inference import Classifier
from wsiamf.inference.classifier import calibrated
from wsiamf.model import build_network
from wsiamf.spec import Calibration, InputSpec, ModelSpec, NetworkSpec, Thresholds, TrainingData, network_of
from wsiamf.weights import load_networks

COLOURS: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
WIDE = NetworkSpec(
    backbone="test_vit",
    backbone_args={"img_size": 64},
    hidden=0,
    hardness_classes=4,
    view_px=128,
    input_px=64,
    extra_inputs=(InputSpec(view_px=80, colour="hed"),),
    views=4,
    **COLOURS,
)


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)


def wide_bundle(folder: Path, **changes: Any) -> Bundle:
    """Another architecture, input, head and number of views than the tiny bundle's."""
    torch.manual_seed(7)
    fields, weights = combine_networks([WIDE], [build_network(WIDE, 2).eval()])
    values: dict[str, Any] = {
        "name": "wide",
        "version": "0",
        "weights_sha256": sha256_bytes(weights),
        "experts": ("ami-br/1", "ami-br/2"),
        "thresholds": Thresholds(balanced=0.3, count=0.4),
        "definition": "test",
    }
    folder.mkdir(parents=True)
    spec = ModelSpec(**(values | fields | changes))
    return write_bundle(folder, weights, spec, card="# wide\n", licenses="other\n")


@pytest.fixture
def pair(tmp_path: Path) -> list[Bundle]:
    trained = TrainingData(sets=("a",), slides=("a/1",), crops=("11",))
    tiny = tiny_bundle(tmp_path / "tiny", views=2, calibration=Calibration(a=1.0, b=0.5), trained_on=trained)
    also = TrainingData(sets=("a", "b"), slides=("b/1",), crops=("11", "22"))
    return [tiny, wide_bundle(tmp_path / "wide", calibration=Calibration(a=2.0, b=-0.5), trained_on=also)]


def test_an_ensemble_of_one_equals_the_model(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    alone = tiny_bundle(tmp_path / "alone")
    fields, weights = combine_networks(alone.spec.networks, load_networks(alone))
    assert weights == (alone.folder / "model.safetensors").read_bytes()
    assert ModelSpec.model_validate(alone.spec.model_dump(by_alias=True) | fields) == alone.spec


def test_of_two_equals_the_mean_of_their_probabilities(
    tmp_path: Path, pair: list[Bundle], crops: NDArray[np.uint8]
) -> None:
    both = combine_bundles(pair, tmp_path / "both", name="both")
    said = Classifier(both, device="cpu").predict(crops)
    each = [Classifier(one, device="cpu").predict(crops) for one in pair]
    expected = np.mean([one.p_experts_NK for one in each], axis=0)
    assert np.allclose(said.p_experts_NK, expected, atol=1e-7)
    assert np.allclose(said.p_hard, np.mean([one.p_hard for one in each], axis=0), atol=1e-6)
    assert np.allclose(said.p_atypical, calibrated(expected, Calibration(a=1.5, b=0.0)), atol=1e-6)
    assert not np.allclose(each[0].p_experts_NK, each[1].p_experts_NK, atol=1e-3)


def test_an_ensemble_can_be_combined_further(tmp_path: Path, pair: list[Bundle], crops: NDArray[np.uint8]) -> None:
    both = combine_bundles(pair, tmp_path / "both", name="both")
    third = tiny_bundle(tmp_path / "third", version="3")
    three = combine_bundles([both, third], tmp_path / "three", name="three")
    assert [network.backbone for network in three.spec.networks] == [
        "test_efficientnet",
        "test_vit",
        "test_efficientnet",
    ]
    each = [Classifier(one, device="cpu").predict(crops).p_experts_NK for one in (*pair, third)]
    assert np.allclose(Classifier(three, device="cpu").predict(crops).p_experts_NK, np.mean(each, axis=0), atol=1e-7)


def test_what_the_bundle_says_of_itself(tmp_path: Path, pair: list[Bundle], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="wsiamf"):
        bundle = combine_bundles(pair, tmp_path / "both", name="both", version="2")
        Classifier(bundle, device="cpu")
    spec = bundle.spec
    assert (spec.name, spec.version, spec.provisional, spec.error_rates) == ("both", "2", True, ())
    assert spec.parents == (pair[0].sha256, pair[1].sha256)
    assert spec.trained_on == TrainingData(sets=("a", "b"), slides=("a/1", "b/1"), crops=("11", "22"))
    assert spec.thresholds == Thresholds(balanced=0.4, count=0.5)
    assert network_of(spec) == network_of(pair[0].spec)
    assert spec.members == (WIDE,)
    assert "provisional" in bundle.read_card()
    assert pair[1].sha256 in bundle.read_card()
    assert {"none", "other"} <= set(bundle.read_licenses().split())
    assert [("wsiamf calibrate" in one.message) for one in caplog.records] == [True, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experts": ("ami-br/1", "ami-br/9")}, "experts is ami-br/1, ami-br/9 there and ami-br/1, ami-br/2 here"),
        ({"definition": "other"}, "definition is other there and test here"),
        ({"mpp": 0.5}, r"mpp is 0\.5 there and 0\.25 here"),
        ({"crop_px": 256}, "crop_px is 256 there and 128 here"),
        ({"phases": ("a",)}, "phases is a there and none here"),
    ],
)
def test_models_that_do_not_go_together(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        combine_bundles([tiny_bundle(tmp_path / "a"), tiny_bundle(tmp_path / "b", **changes)], tmp_path / "c", name="c")
    assert not (tmp_path / "c").exists()


def test_one_model_twice_or_alone_is_no_ensemble(tmp_path: Path) -> None:
    alone = tiny_bundle(tmp_path / "a")
    for bundles in ([alone], [alone, alone]):
        with pytest.raises(BundleError, match="two or more different models"):
            combine_bundles(bundles, tmp_path / "c", name="c")


def test_nothing_foreign_is_overwritten(tmp_path: Path, pair: list[Bundle]) -> None:
    with pytest.raises(ConfigError, match="--name a b: name: String should match"):
        combine_bundles(pair, tmp_path / "both", name="a b")
    assert not (tmp_path / "both").exists()
    combine_bundles(pair, tmp_path / "both", name="both")
    with pytest.raises(OutputExistsError, match="exists already; pass --overwrite"):
        combine_bundles(pair, tmp_path / "both", name="both")
    assert combine_bundles(pair, tmp_path / "both", name="other", overwrite=True).spec.name == "other"
    (tmp_path / "both" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"holds more than a model bundle \(notes\.txt\)"):
        combine_bundles(pair, tmp_path / "both", name="both", overwrite=True)
    (tmp_path / "foreign").mkdir()
    with pytest.raises(OutputExistsError, match="is not a model bundle"):
        combine_bundles(pair, tmp_path / "foreign", name="both", overwrite=True)


def test_a_member_that_does_not_fit_its_weights_is_an_error(tmp_path: Path, pair: list[Bundle]) -> None:
    folder = combine_bundles(pair, tmp_path / "both", name="both").folder
    text = json.loads((folder / "spec.json").read_text())
    for change, message in (({"hidden": 8}, "do not fit"), (None, r"names 1 network\(s\), model.safetensors holds 2")):
        members = [text["members"][0] | change] if change else []
        (folder / "spec.json").write_text(json.dumps(text | {"members": members}))
        with pytest.raises(BundleError, match=message):
            load_networks(open_bundle(folder))


def test_on_the_command_line(tmp_path: Path, pair: list[Bundle], capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "both")
    assert run(["models", "combine", *(str(one.folder) for one in pair), "--out", out, "--name", "both"]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == out
    assert "wsiamf calibrate" in told.err
    assert run(["models", "show", out]) == 0
    assert "M multiply-adds a crop" in capsys.readouterr().out
    assert run(["models", "combine", str(pair[0].folder), "--out", out, "--name", "x"]) == 1
    assert capsys.readouterr().err.splitlines() == ["wsiamf: error: only two or more different models can be combined."]
