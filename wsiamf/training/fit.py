"""The training loop: one network, one labelled set, early stopping, resumable at every epoch to the same result.

Every random choice of an epoch follows from (seed, epoch, crop), so that a run that was interrupted and resumed draws what an
undisturbed one draws.
"""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from wsiamf.config import FitConfig, TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.files import atomic_file
from wsiamf.model import EXPERTS, MitosisClassifier, Preprocess
from wsiamf.training.augment import build_augmentation
from wsiamf.training.calibration import balanced_threshold
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.losses import Targets, total_loss
from wsiamf.training.metrics import balanced_accuracy

logger = logging.getLogger(__name__)

_LOG_FIELDS = ("epoch", "loss", "validation_loss", "validation_balanced_accuracy", "validation_auc", "lr", "seconds")


@dataclass
class Progress:
    """How far a run is; part of what is resumed."""

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    log: list[dict[str, float]] = field(default_factory=list)


class _AugmentedCrops(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Crops of one epoch, each changed by its own seeded augmentation."""

    def __init__(self, data: LabelledCrops, augment: nn.Module, seed: int, epoch: int) -> None:
        self._data = data
        self._targets = as_targets(data)
        self._augment = augment
        self._seed = (seed * 10_007 + epoch) * 1_000_003

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        crop_CHW = torch.from_numpy(self._data.crops_NSS3[index]).permute(2, 0, 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed + index)
            image_HWC = self._augment(crop_CHW).permute(1, 2, 0)
        targets = self._targets
        return image_HWC, targets.votes_NK[index], targets.hard_N[index], targets.phases_NR[index]


def as_targets(data: LabelledCrops) -> Targets:
    """What the loss compares with."""
    return Targets(
        torch.tensor(data.votes.to_numpy(), dtype=torch.float32),
        torch.tensor(data.table["hard"].to_numpy(), dtype=torch.float32),
        torch.from_numpy(data.phases_NR),
    )


class Trainer:
    """Trains one network.

    Args:
        network: With its starting weights; on the device.
        preprocess: Crops to input, on the device.
        config: The whole configuration.
        train, validation: Labelled crops.
        folder: Where ``log.csv`` and ``state.pt`` go; exists.
        seed: Of the order of crops and their augmentation.
        workers: Processes that augment.
    """

    def __init__(
        self,
        network: MitosisClassifier,
        preprocess: Preprocess,
        config: TrainConfig,
        train: LabelledCrops,
        validation: LabelledCrops,
        folder: Path,
        *,
        seed: int,
        workers: int = 2,
    ) -> None:
        self._config = config
        self._train, self._validation = train, validation
        self._folder = folder
        self._seed = seed
        self._workers = workers
        self._device = next(network.parameters()).device
        self._network = network.to(memory_format=torch.channels_last)
        self._preprocess = preprocess
        crop_px = train.crops_NSS3.shape[1]
        self._augment = build_augmentation(config.augment, crop_px=crop_px, view_px=config.network.view_px)
        self._optimizer = _optimizer(network, config.fit)
        self._scheduler = _scheduler(self._optimizer, config.fit, self._steps_per_epoch)
        self._averaged = _averaged(network, config.fit)
        self._best: dict[str, Tensor] = {}
        self.progress = Progress()

    def run(self, on_epoch: Callable[[Progress], None] = lambda _: None) -> dict[str, Tensor]:
        """Train until the last epoch or until patience is spent.

        Args:
            on_epoch: Called after each epoch.

        Returns:
            The weights of the epoch of best validation balanced accuracy.

        Raises:
            TrainingError: The loss is not finite, or a saved state belongs to another configuration.
        """
        self._resume()
        with torch.random.fork_rng(devices=[]):
            while not self._finished():
                self._epoch()
                self._save()
                on_epoch(self.progress)
        return self._best

    @property
    def _steps_per_epoch(self) -> int:
        return len(self._train) // self._config.fit.batch_size

    @property
    def _evaluated(self) -> nn.Module:
        return self._averaged.module if self._averaged is not None else self._network

    def _finished(self) -> bool:
        stale = self.progress.epoch - self.progress.best_epoch >= self._config.fit.patience
        return self.progress.epoch >= self._config.fit.epochs or stale

    def _epoch(self) -> None:
        started = time.perf_counter()
        epoch = self.progress.epoch + 1
        torch.manual_seed(self._seed * 10_007 + epoch)
        loss = self._train_epoch(epoch)
        validation = self._validate()
        score = validation["validation_balanced_accuracy"]
        self.progress.epoch = epoch
        if score > self.progress.best_score:
            self.progress.best_score, self.progress.best_epoch = score, epoch
            self._best = {name: tensor.detach().cpu().clone() for name, tensor in self._evaluated.state_dict().items()}
        rate = float(self._scheduler.get_last_lr()[-1])
        row: dict[str, float] = {
            "epoch": epoch,
            "loss": loss,
            **validation,
            "lr": rate,
            "seconds": time.perf_counter() - started,
        }
        self.progress.log.append(row)
        logger.info("epoch %d: loss %.4f, validation balanced accuracy %.4f", epoch, loss, score)

    def _train_epoch(self, epoch: int) -> float:
        self._network.train()
        losses = [self._step(batch) for batch in self._loader(epoch)]
        return float(np.mean(losses))

    def _loader(self, epoch: int) -> DataLoader[tuple[Tensor, ...]]:
        dataset = _AugmentedCrops(self._train, self._augment, self._seed, epoch)
        return DataLoader(
            dataset,
            batch_size=self._config.fit.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=self._workers,
            generator=torch.Generator().manual_seed(self._seed * 10_007 + epoch),
        )

    def _step(self, batch: tuple[Tensor, ...]) -> float:
        crops_NHWC, *labels = (tensor.to(self._device) for tensor in batch)
        logits = self._network(self._preprocess(crops_NHWC).contiguous(memory_format=torch.channels_last))
        loss = total_loss(logits, Targets(*labels), self._config.loss)
        if not bool(torch.isfinite(loss)):
            raise TrainingError(
                f"the loss became {loss.item()} in epoch {self.progress.epoch + 1}; lower fit.lr_heads."
            )
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._network.parameters(), self._config.fit.clip_norm)
        self._optimizer.step()
        self._scheduler.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self._network)
        return float(loss.item())

    def _validate(self) -> dict[str, float]:
        logits, targets = (
            predict_logits(self._evaluated, self._preprocess, self._validation),
            as_targets(self._validation),
        )
        p = torch.sigmoid(logits[EXPERTS]).mean(dim=1).double().numpy()
        amf = self._validation.amf
        return {
            "validation_loss": float(total_loss(logits, targets, self._config.loss)),
            "validation_balanced_accuracy": balanced_accuracy(p, amf, balanced_threshold(p, amf)),
            "validation_auc": float(roc_auc_score(amf, p)),
        }

    def _save(self) -> None:
        state = {
            "config": self._config.model_dump_json(),
            "network": self._network.state_dict(),
            "averaged": self._averaged.state_dict() if self._averaged is not None else None,
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "best": self._best,
            "progress": vars(self.progress),
        }
        with atomic_file(self._folder / "state.pt") as path:
            torch.save(state, path)
        with atomic_file(self._folder / "log.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, _LOG_FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: round(row[key], 6) for key in _LOG_FIELDS} for row in self.progress.log)

    def _resume(self) -> None:
        path = self._folder / "state.pt"
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
        if state["config"] != self._config.model_dump_json():
            raise TrainingError(f"{path}: was saved by another configuration; choose another --out or remove it.")
        self._network.load_state_dict(state["network"])
        if self._averaged is not None:
            self._averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._best = {name: tensor.cpu() for name, tensor in state["best"].items()}
        self.progress = Progress(**state["progress"])
        logger.info("resumed after epoch %d", self.progress.epoch)


def predict_logits(
    network: nn.Module, preprocess: Preprocess, data: LabelledCrops, batch_size: int = 64
) -> dict[str, Tensor]:
    """Logits per head of all crops, unaugmented, on the CPU."""
    device = next(network.parameters()).device
    network.eval()
    parts: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        for start in range(0, len(data), batch_size):
            crops = torch.from_numpy(data.crops_NSS3[start : start + batch_size]).to(device)
            parts.append(network(preprocess(crops).contiguous(memory_format=torch.channels_last)))
    return {head: torch.cat([part[head] for part in parts]).float().cpu() for head in parts[0]}


def _optimizer(network: MitosisClassifier, fit: FitConfig) -> torch.optim.AdamW:
    heads = [*network.shared.parameters(), *network.heads.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": list(network.backbone.parameters()), "lr": fit.lr_backbone},
        {"params": heads, "lr": fit.lr_heads},
    ]
    return torch.optim.AdamW(groups, weight_decay=fit.weight_decay)


def _scheduler(
    optimizer: torch.optim.AdamW, fit: FitConfig, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if steps_per_epoch < 1:
        raise TrainingError(f"fewer training crops than fit.batch_size ({fit.batch_size}).")
    steps = fit.epochs * steps_per_epoch
    if fit.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    peaks = [fit.lr_backbone, fit.lr_heads]
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, pct_start=fit.warmup)


def _averaged(network: MitosisClassifier, fit: FitConfig) -> AveragedModel | None:
    if fit.ema_decay == 0:
        return None
    return AveragedModel(network, multi_avg_fn=_ema(fit.ema_decay), use_buffers=True)


def _ema(decay: float) -> Callable[..., None]:
    update: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return update
