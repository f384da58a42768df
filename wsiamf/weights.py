"""Networks out of a bundle and into it. Apart from ``bundle``, so that a bundle is read without loading torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from wsiamf.bundle import SPEC, WEIGHTS, Bundle
from wsiamf.errors import BundleError
from wsiamf.model import MitosisClassifier, build_network

_MEMBER: Final = re.compile(r"members\.(\d+)\.(.+)")


def load_networks(bundle: Bundle) -> tuple[MitosisClassifier, ...]:
    """Every network with its weights, float32, in evaluation mode, in the order of ``ModelSpec.networks``.

    Raises:
        BundleError: The weights changed since the spec was written, or do not fit the heads and backbones it names.
    """
    weights = {name: tensor.float() for name, tensor in load_safetensors(bundle.checked_weights()).items()}
    try:
        return tuple(_networks(bundle, weights))
    except (RuntimeError, TypeError) as error:
        detail = " ".join(str(error).split())
        raise BundleError(f"{bundle.folder}: weights do not fit {SPEC} (backbone or heads differ): {detail}") from error


def store_weights(*networks: MitosisClassifier) -> bytes:
    """Weights as they are stored: safetensors, float16, without batch-norm's step counters.

    The first network's tensors have their own names; those of the network at place k of ``ModelSpec.members`` begin with
    ``members.<k>.``.
    """
    state = {
        _prefix(number) + name: tensor.detach().cpu()
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    if unstorable := [name for name, tensor in state.items() if not bool(torch.isfinite(tensor.half()).all())]:
        raise BundleError(f"{unstorable[0]}: holds values that float16 cannot store.")
    data: bytes = save_safetensors({name: tensor.half().contiguous() for name, tensor in state.items()})
    return data


def _networks(bundle: Bundle, weights: Mapping[str, Tensor]) -> Iterator[MitosisClassifier]:
    parts = _by_network(weights)
    if len(parts) != len(bundle.spec.networks):
        raise BundleError(
            f"{bundle.folder}: weights do not fit {SPEC}: it names {len(bundle.spec.networks)} network(s), "
            f"{WEIGHTS} holds {len(parts)}."
        )
    for spec, own in zip(bundle.spec.networks, parts, strict=True):
        network = build_network(spec, len(bundle.spec.experts))
        network.load_state_dict(_with_counters(own, network), strict=True)
        yield network.eval()


def _prefix(number: int) -> str:
    """What the names of a network's tensors begin with; 0 is the first network."""
    return f"members.{number - 1}." if number else ""


def _by_network(weights: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors of each network under the names that the network gives them."""
    parts: dict[int, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        match = _MEMBER.fullmatch(name)
        number, own = (int(match[1]) + 1, match[2]) if match else (0, name)
        parts.setdefault(number, {})[own] = tensor
    return [parts[number] for number in sorted(parts)]


def _with_counters(weights: Mapping[str, Tensor], network: MitosisClassifier) -> dict[str, Tensor]:
    counters = {name: tensor for name, tensor in network.state_dict().items() if not tensor.is_floating_point()}
    return {**counters, **weights}
