"""Randomness of a training: it follows from seeds alone, and nothing outside notices it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

_EPOCHS: Final = 10_007  # primes, larger than the number of epochs and of crops
_CROPS: Final = 1_000_003


def epoch_seed(seed: int, epoch: int) -> int:
    """Of what is drawn once an epoch: the order of the crops, dropout."""
    return (seed * _EPOCHS + epoch) % 2**63


def crop_seed(seed: int, epoch: int, row: int) -> int:
    """Of what is drawn for one crop in one epoch: its augmentation."""
    return ((seed * _EPOCHS + epoch) * _CROPS + row) % 2**63


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the CPU's generator and the device's own; ``torch.manual_seed`` would seed every device there is."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Give back the generators as they were, and let cuDNN take only algorithms that give the same bits twice."""
    kind = "cuda" if device.type == "cpu" else device.type
    devices = range(torch.get_device_module(kind).device_count()) if device.type != "cpu" else ()
    deterministic = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        with torch.random.fork_rng(devices=devices, device_type=kind):
            yield
    finally:
        torch.backends.cudnn.deterministic = deterministic
