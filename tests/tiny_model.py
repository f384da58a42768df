"""A small untrained model bundle, for tests that need one but not a good one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from wsiamf.bundle import Bundle, write_bundle
from wsiamf.files import sha256_bytes
from wsiamf.model import MitosisClassifier
from wsiamf.spec import ErrorRates, ModelSpec, Thresholds
from wsiamf.weights import store_weights

BACKBONE = "test_efficientnet"  # timm's own, 0.4 M parameters


def tiny_bundle(folder: Path, *, hardness: bool = True, **changes: Any) -> Bundle:
    """Write a bundle of random weights with two experts; ``changes`` are fields of the spec."""
    torch.manual_seed(0)
    network = MitosisClassifier(BACKBONE, n_experts=2, hardness=hardness, hidden=16)
    weights = store_weights(network)
    fields: dict[str, Any] = {
        "name": "tiny",
        "version": "0",
        "weights_sha256": sha256_bytes(weights),
        "backbone": BACKBONE,
        "hidden": 16,
        "experts": ("ami-br/1", "ami-br/2"),
        "hardness": hardness,
        "view_px": 96,
        "input_px": 64,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "thresholds": Thresholds(balanced=0.5, count=0.6),
        "definition": "test",
        "error_rates": (
            ErrorRates(domain="here", threshold="count", n_amf=50, n_nmf=200, sensitivity=0.8, specificity=0.9),
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return write_bundle(folder, weights, ModelSpec(**(fields | changes)), card="# tiny\n", licenses="none\n")
