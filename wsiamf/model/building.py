"""From a network's spec to the network and its preprocessing: the only place where one is read into the other."""

from __future__ import annotations

from wsiamf.model.network import MitosisClassifier
from wsiamf.model.preprocess import Preprocess
from wsiamf.spec import NetworkSpec


def build_network(spec: NetworkSpec, n_experts: int, *, dropout: float = 0.0) -> MitosisClassifier:
    """The network that a spec describes, with random weights.

    Raises:
        RuntimeError: timm does not know a backbone.
        TypeError: A backbone does not take one of its arguments.
    """
    return MitosisClassifier(
        spec.backbone,
        n_experts=n_experts,
        hardness=spec.hardness,
        hardness_classes=spec.hardness_classes,
        n_phases=len(spec.phases),
        hidden=spec.hidden,
        dropout=dropout,
        backbone_args=spec.backbone_args,
        in_channels=spec.in_channels,
        frozen=spec.frozen,
        second=spec.second,
    )


def build_preprocess(spec: NetworkSpec) -> Preprocess:
    """The preprocessing that belongs to a spec's weights."""
    return Preprocess(
        view_px=spec.view_px,
        input_px=spec.input_px,
        mean=spec.mean,
        std=spec.std,
        extra_inputs=spec.extra_inputs,
    )
