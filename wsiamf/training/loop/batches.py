"""Batches of augmented crops, the same whatever the number of worker processes; and what the loss compares them with.

Shapes: N = crops, S = crop side in px, V = side of the augmented view in px.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from wsiamf.config import LossConfig
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.loop.losses import Targets
from wsiamf.training.loop.randomness import crop_seed, epoch_seed

Draw = tuple[int, int]
"""Epoch and row: what a crop's augmentation follows from, beside the seed."""


class EpochOrder(Sampler[Draw]):
    """Every row once, in an order that follows from the seed and the epoch that is set."""

    def __init__(self, n: int, seed: int) -> None:
        self.epoch = 0
        self._n = n
        self._seed = seed

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(epoch_seed(self._seed, self.epoch))
        for row in torch.randperm(self._n, generator=generator).tolist():
            yield self.epoch, row


class AugmentedCrops(Dataset[tuple[Tensor, int]]):
    """An (epoch, row) to the augmented crop (V, V, 3) uint8 and its row.

    The draw stands in the index, so that worker processes live through all epochs.
    """

    def __init__(self, crops_NSS3: Tensor, augment: nn.Module, seed: int) -> None:
        self._crops_NSS3 = crops_NSS3
        self._augment = augment
        self._seed = seed

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        epoch, row = draw
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(crop_seed(self._seed, epoch, row))
            return self._augment(self._crops_NSS3[row].permute(2, 0, 1)).permute(1, 2, 0), row


def load_batches(
    data: LabelledCrops, augment: nn.Module, order: EpochOrder, *, seed: int, batch_size: int, workers: int, pin: bool
) -> DataLoader[tuple[Tensor, int]]:
    """Full batches of augmented crops (N, V, V, 3) uint8 and their rows (N,); an incomplete last one is left out.

    Args:
        data: Crops to augment.
        augment: A crop (3, S, S) uint8 to (3, V, V) uint8.
        order: Its ``epoch`` is set before the batches are iterated over.
        seed: Of the augmentation.
        batch_size: N.
        workers: Processes that augment; 0 for this one.
        pin: Whether batches are to lie in memory from which CUDA copies without waiting.
    """
    crops = torch.from_numpy(data.crops_NSS3)
    if workers and torch.multiprocessing.get_start_method() != "fork":
        crops.share_memory_()  # type: ignore[no-untyped-call]  # else each worker would be sent a copy
    return DataLoader(
        AugmentedCrops(crops, augment, seed),
        batch_size=batch_size,
        sampler=order,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin,
        generator=torch.Generator(),  # else it would draw from dropout's
    )


def as_targets(data: LabelledCrops, device: torch.device) -> Targets:
    """What the loss compares with."""
    return Targets(
        torch.tensor(data.votes.to_numpy(), dtype=torch.float32, device=device),
        torch.tensor(data.table["hard"].to_numpy(), dtype=torch.float32, device=device),
        torch.from_numpy(data.phases_NR).to(device),
        torch.tensor(data.amf, dtype=torch.float32, device=device),
    )


def targets_of(targets: Targets, rows_N: Tensor) -> Targets:
    """The targets of some crops."""
    return Targets(**{name: values[rows_N] for name, values in vars(targets).items()})


def crop_weights(data: LabelledCrops, loss: LossConfig) -> Tensor:
    """Weight of each crop in the loss (N,), 1 on average, so that the learning rate keeps its meaning."""
    amf = np.where(data.amf == 1, loss.amf_weight, 1.0)
    hard = np.where(data.table["hard"] == 1, loss.hard_weight, 1.0)
    weights = data.table["weight"].to_numpy(dtype=np.float64) * amf * hard
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)
