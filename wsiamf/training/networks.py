"""From a network's configuration to the network with its starting weights, its preprocessing, and what a spec says of both."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import ValidationError

from wsiamf.classes import PHASES
from wsiamf.config import NetworkConfig
from wsiamf.crops import CROP_PX
from wsiamf.errors import TrainingError, problem_line
from wsiamf.model import MitosisClassifier, Preprocess, build_network, build_preprocess
from wsiamf.spec import BackboneSpec, NetworkSpec
from wsiamf.training.pretrained import load_pretrained


def new_network(config: NetworkConfig, raters: tuple[str, ...]) -> MitosisClassifier:
    """A network with its starting weights; the heads' are torch's random ones.

    Raises:
        TrainingError: The network cannot be built or does not take its input, or the starting weights cannot be had.
    """
    check_network(config, raters)
    spec = network_spec(config)
    network = build_network(spec, len(raters), dropout=config.dropout)
    backbone = BackboneSpec(backbone=spec.backbone, backbone_args=spec.backbone_args)
    load_pretrained(network.backbone, backbone, config.pretrained, in_channels=spec.in_channels)
    if network.second is not None and spec.second is not None and config.second is not None:
        load_pretrained(network.second, spec.second, config.second.pretrained)
    return network


def new_preprocess(config: NetworkConfig) -> Preprocess:
    """How a crop becomes the network's input."""
    return build_preprocess(network_spec(config))


def network_fields(config: NetworkConfig) -> dict[str, Any]:
    """The fields of ``ModelSpec`` that describe the network."""
    spec = network_spec(config)
    return {name: getattr(spec, name) for name in NetworkSpec.model_fields}


def network_spec(config: NetworkConfig) -> NetworkSpec:
    """What a spec will say of the network: the configuration's values, less those that only training needs.

    Raises:
        TrainingError: A value is not to be had, or a view is larger than a crop.
    """
    shared = set(NetworkSpec.model_fields) & set(NetworkConfig.model_fields)
    values = config.model_dump(include=shared, exclude={"second": {"pretrained"}})
    try:
        spec = NetworkSpec(**values, phases=PHASES if config.phase else ())
    except ValidationError as error:
        raise TrainingError(f"network: {problem_line(error.errors())}.") from error
    if spec.reach_px > CROP_PX:
        raise TrainingError(f"network: view_px {spec.reach_px} is larger than a crop ({CROP_PX} px).")
    return spec


def check_network(config: NetworkConfig, raters: tuple[str, ...]) -> None:
    """Send one input through the network on torch's ``meta`` device, so that what does not fit shows before any step.

    Raises:
        TrainingError: The network cannot be built, or does not take its input.
    """
    spec = network_spec(config)
    side = spec.input_px
    try:
        with torch.device("meta"), torch.no_grad():
            build_network(spec, len(raters)).eval()(torch.empty(1, spec.in_channels, side, side))
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise TrainingError(f"network: {spec.backbone} with an input of {side} px cannot be built: {detail}") from error
