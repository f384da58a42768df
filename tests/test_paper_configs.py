"""Every shipped configuration loads, describes a network that can be built, and trains for two steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from wsiamf.classes import EXPERTS, HARDNESS
from wsiamf.config import FrozenBackboneConfig, NetworkConfig, configs_folder, find_config, load_train_config
from wsiamf.model import MitosisClassifier, build_network
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.loop.batches import as_targets, targets_of
from wsiamf.training.loop.fit import Trainer
from wsiamf.training.loop.losses import total_loss
from wsiamf.training.networks import network_spec, new_network, new_preprocess

CONFIGS = sorted(path for path in configs_folder().rglob("*.yaml") if path.parent.name != "cluster")
PAPER = [path for path in CONFIGS if path.parent.name == "paper"]
SLOW = {"efficientnet-b7", "resnet152"}
"""Take seconds a step; the others show the same in the everyday run."""
RATERS = ("a/1", "a/2", "a/3")
LARGEST = 100e6
"""Parameters up to which a network is trained as it is."""
STAND_IN: dict[str, Any] = {"backbone": "test_vit", "backbone_args": {"dynamic_img_size": True}}
"""In place of a large vision transformer."""


def config_id(path: Path) -> str:
    return path.stem


def sums(network: MitosisClassifier) -> dict[str, float]:
    """Each parameter's sum, by which a step shows."""
    return {name: float(tensor.detach().double().sum()) for name, tensor in network.named_parameters()}


@cache
def described(path: Path) -> MitosisClassifier:
    """The whole network, without memory for its weights."""
    with torch.device("meta"):
        return build_network(network_spec(load_train_config(path).network), len(RATERS)).eval()


def n_parameters(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.parameters())


def reduced(network: NetworkConfig, input_px: int, **changes: Any) -> NetworkConfig:
    """The same network without starting weights and on a small input."""
    values: dict[str, Any] = {"pretrained": "none", "input_px": input_px}
    if network.backbone.startswith("swin"):
        values["backbone_args"] = {"img_size": input_px, "window_size": 2}
    if network.second is not None:
        values["second"] = FrozenBackboneConfig(**STAND_IN, pretrained="none")
    return network.model_copy(update=values | changes)


def trainable(path: Path) -> NetworkConfig:
    """Reduced, with a small one of its family in place of a large backbone."""
    large = n_parameters(described(path).backbone) > LARGEST
    return reduced(load_train_config(path).network, 64, **(STAND_IN if large else {}))


@pytest.fixture(scope="module")
def four_crops() -> LabelledCrops:
    """One crop of each class of difficulty."""
    table = pd.DataFrame(
        {
            "set": "A",
            "file": [f"{number}.png" for number in range(4)],
            "slide": None,
            "case": None,
            "domain": "A",
            "x": np.nan,
            "y": np.nan,
            "weight": 1.0,
            "amf": [0.0, 0.0, 1.0, 1.0],
            "hard": [0.0, 1.0, 0.0, 1.0],
            "n_votes": 3,
        }
    )
    votes = pd.DataFrame([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]], columns=list(RATERS), dtype=float)
    crops = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    return LabelledCrops(crops, table, votes, np.zeros((4, 2), dtype=np.int64))


def test_there_is_one_for_every_row_of_the_paper() -> None:
    backbones = {"resnet50", "resnet101", "resnet152", "efficientnet-b0", "efficientnet-b7", "swin"}
    variants = {"linear-probe-gigapath", "hybrid-gigapath", "hardness-four-class", "context", "stain", "context-stain"}
    assert {path.stem for path in PAPER} == backbones | variants
    table = (configs_folder() / "paper" / "README.md").read_text("utf-8")
    for name in backbones | variants:
        assert find_config(f"paper/{name}").is_file()
        assert f"| `paper/{name}` |" in table


@pytest.mark.parametrize("path", PAPER, ids=config_id)
def test_settings_are_the_papers(path: Path) -> None:
    config = load_train_config(path)
    assert config.name == f"paper-{path.stem}"
    assert (config.fit.schedule, config.fit.warmup, config.fit.lr_backbone, config.fit.lr_heads) == (
        "cosine",
        0,
        1e-4,
        1e-4,
    )
    assert (config.fit.batch_size, config.fit.patience, config.fit.keep, config.loss.theta) == (8, 20, "best", 0.5)
    assert (config.network.view_px, config.network.input_px) == (128, 224)
    assert (config.crossval.scheme, config.crossval.folds, config.crossval.validation) == ("stratified", 5, "fold")
    augment = config.augment
    assert (augment.rotation_deg, augment.brightness, augment.contrast, augment.saturation) == (10, 0.2, 0.3, 0.1)
    assert (augment.scale, augment.stain_scale, augment.stain_shift, augment.blur_p) == (0, 0, 0, 0)


@pytest.mark.parametrize("path", CONFIGS, ids=config_id)
def test_its_network_builds_and_takes_its_input(path: Path) -> None:
    spec = network_spec(load_train_config(path).network)
    images = torch.empty(2, spec.in_channels, spec.input_px, spec.input_px, device="meta")
    with torch.no_grad():
        logits = described(path)(images)
    assert logits[EXPERTS].shape == (2, 3)
    assert logits[HARDNESS].shape == (2, 1 if spec.hardness_classes == 2 else 4)


def test_prov_gigapath_has_as_many_parameters_as_published() -> None:
    """1,134,953,984, as its owners' demonstration prints for the tile encoder."""
    assert n_parameters(described(find_config("paper/linear-probe-gigapath")).backbone) == 1_134_953_984


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.long] if path.stem in SLOW else []) for path in CONFIGS],
    ids=config_id,
)
def test_its_network_trains_for_two_steps(path: Path, four_crops: LabelledCrops) -> None:
    config, network_config = load_train_config(path), trainable(path)
    torch.manual_seed(0)
    network = new_network(network_config, RATERS).train()
    before = sums(network)
    images = new_preprocess(network_config)(torch.from_numpy(four_crops.crops_NSS3))
    targets = as_targets(four_crops, torch.device("cpu"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.fit.lr_heads)
    for rows in (torch.tensor([0, 3]), torch.tensor([1, 2])):
        optimizer.zero_grad()
        loss = total_loss(network(images[rows]), targets_of(targets, rows), config.loss)
        torch.autograd.backward(loss)
        optimizer.step()
    assert torch.isfinite(loss)
    moved = {name for name, total in sums(network).items() if total != before[name]}
    assert {"heads.experts.weight", "heads.hardness.weight"} <= moved
    assert not any(name.startswith("second") for name in moved)
    assert any(name.startswith("backbone") for name in moved) != network_config.frozen


@pytest.mark.parametrize("path", CONFIGS, ids=config_id)
def test_its_recipe_runs_through_the_loop(path: Path, four_crops: LabelledCrops, tmp_path: Path) -> None:
    """The whole recipe but its backbone and its number of epochs."""
    config = load_train_config(path)
    network_config = reduced(config.network, 32, backbone="test_efficientnet", backbone_args={})
    fit = config.fit.model_copy(update={"epochs": 1, "batch_size": 2, "keep": "last", "runs": 1})
    config = config.model_copy(update={"network": network_config, "fit": fit, "distil": None})
    network, preprocess = new_network(network_config, RATERS), new_preprocess(network_config)
    trainer = Trainer(network, preprocess, config, four_crops, None, tmp_path, seed=0, workers=0)
    kept = trainer.run()
    assert kept.keys() == network.state_dict().keys()
    assert np.isfinite(trainer.progress.log[-1]["loss"])
