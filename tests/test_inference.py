"""Crops to probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from tests.tiny_model import tiny_bundle
from wsiamf.errors import ConfigError, CropError
from wsiamf.inference import Classifier
from wsiamf.inference.classifier import head_probabilities
from wsiamf.model import build_preprocess
from wsiamf.spec import Calibration
from wsiamf.weights import load_networks


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 128, 128, 3), dtype=np.uint8)


def test_probabilities_are_the_calibrated_mean_of_the_experts(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    bundle = tiny_bundle(tmp_path, calibration=Calibration(a=0.7, b=-1.2))
    said = Classifier(bundle, device="cpu").predict(crops)
    with torch.inference_mode():
        logits = load_networks(bundle)[0](build_preprocess(bundle.spec)(torch.from_numpy(crops)))
    experts = expit(logits["experts"].double().numpy())
    assert np.allclose(said.p_experts_NK, experts, atol=1e-5)
    assert np.allclose(said.p_atypical, expit(0.7 * logit(experts.mean(axis=1)) - 1.2), atol=1e-5)
    assert np.allclose(said.p_hard, expit(logits["hardness"][:, 0].double().numpy()), atol=1e-5)


def test_views_average_over_turns_and_flips(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    whole = Classifier(tiny_bundle(tmp_path / "8", views=8), device="cpu").predict(crops)
    once = Classifier(tiny_bundle(tmp_path / "1"), device="cpu")
    symmetries = [np.rot90(image, k, axes=(1, 2)) for image in (crops, crops[:, ::-1]) for k in range(4)]
    each = [once.predict(np.ascontiguousarray(image)) for image in symmetries]
    assert np.allclose(whole.p_experts_NK, np.mean([one.p_experts_NK for one in each], axis=0), atol=1e-6)
    turned = Classifier(tiny_bundle(tmp_path / "8b", views=8), device="cpu").predict(
        np.ascontiguousarray(symmetries[5])
    )
    assert np.allclose(whole.p_atypical, turned.p_atypical, atol=1e-5)
    assert not np.allclose(each[0].p_atypical, each[1].p_atypical, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_batch_size_changes_nothing(tmp_path: Path, crops: NDArray[np.uint8], batch_size: int) -> None:
    bundle = tiny_bundle(tmp_path)
    said = Classifier(bundle, device="cpu", batch_size=batch_size).predict(crops)
    alone = [Classifier(bundle, device="cpu").predict(crop[None]).p_atypical[0] for crop in crops]
    assert np.allclose(said.p_atypical, alone, atol=1e-5)


def test_no_crops_give_no_rows(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    said = Classifier(tiny_bundle(tmp_path), device="cpu").predict(crops[:0])
    assert said.p_atypical.shape == said.p_hard.shape == (0,)
    assert said.p_experts_NK.shape == (0, 2)


def test_without_a_hardness_head_p_hard_is_unknown(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    said = Classifier(tiny_bundle(tmp_path, hardness=False), device="cpu").predict(crops)
    assert np.isnan(said.p_hard).all()


def test_wrong_crops_are_refused(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    classifier = Classifier(tiny_bundle(tmp_path), device="cpu")
    with pytest.raises(CropError, match=r"must be uint8 \(N, 128, 128, 3\)"):
        classifier.predict(crops[:, :64])
    with pytest.raises(CropError, match="float"):
        classifier.predict(crops.astype(float))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("tpu", "auto"), "--device tpu: unknown"),
        (("cpu:3", "auto"), "--device cpu:3: processors have no numbers; write cpu"),
        (("cpu", "bf16"), "--precision bf16: not to be had on cpu"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, choice: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Classifier(tiny_bundle(tmp_path), device=choice[0], precision=choice[1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--device cuda: not available"):
        Classifier(tiny_bundle(tmp_path), device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_cuda_says_what_the_cpu_says(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    bundle = tiny_bundle(tmp_path)
    said, known = (
        Classifier(bundle, backend="torch", device=device, precision="f32", batch_size=4).predict(crops)
        for device in ("cuda", "cpu")
    )
    assert np.allclose(said.p_atypical, known.p_atypical, atol=1e-3)
    assert np.allclose(said.p_experts_NK, known.p_experts_NK, atol=1e-3)


def test_p_hard_of_four_classes_is_that_of_both_hard_ones() -> None:
    logits = np.log([[0.4, 0.1, 0.3, 0.2], [0.05, 0.9, 0.05, 1e-9]])
    assert np.allclose(head_probabilities("hardness", logits), [[0.3], [0.9]])
    assert np.allclose(head_probabilities("hardness", np.zeros((2, 1))), 0.5)
    assert np.allclose(head_probabilities("phase", logits).sum(axis=1), 1)
