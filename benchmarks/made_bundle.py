"""Bundles of random weights: how long a network takes does not depend on what it says."""

from __future__ import annotations

from pathlib import Path

import torch

from wsiamf.bundle import Bundle, write_bundle
from wsiamf.files import sha256_bytes
from wsiamf.model import build_network
from wsiamf.spec import ModelSpec, Thresholds
from wsiamf.weights import store_weights


def write_random_bundle(
    folder: Path, *, backbone: str, hidden: int, n_experts: int, view_px: int, input_px: int
) -> Bundle:
    """Write a bundle of one network with a hardness head, always of the same weights."""
    torch.manual_seed(0)
    spec = ModelSpec(
        name=backbone,
        version="0",
        weights_sha256="0" * 64,
        backbone=backbone,
        hidden=hidden,
        experts=tuple(f"rater/{number}" for number in range(1, n_experts + 1)),
        view_px=view_px,
        input_px=input_px,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        thresholds=Thresholds(balanced=0.5, count=0.5),
        definition="none",
    )
    weights = store_weights(build_network(spec, n_experts))
    spec = spec.model_copy(update={"weights_sha256": sha256_bytes(weights)})
    folder.mkdir(exist_ok=True)
    return write_bundle(folder, weights, spec, card="", licenses="")
