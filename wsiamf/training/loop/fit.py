"""The training loop: one network, one labelled set, resumable from any interruption to the same result.

The state is saved at the end of each epoch, and every random choice of an epoch follows from (seed, epoch, crop): a run that
was stopped, in mid-epoch or in mid-write, does that epoch again as an undisturbed run would have done it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wsiamf.config import FitConfig, TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.model import MitosisClassifier, Preprocess
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.loop.augment import build_augmentation
from wsiamf.training.loop.batches import EpochOrder, as_targets, crop_weights, load_batches, targets_of
from wsiamf.training.loop.distil import Teacher, distillation_loss
from wsiamf.training.loop.logs import Row, check_tensorboard, tensorboard_events, write_log
from wsiamf.training.loop.losses import total_loss
from wsiamf.training.loop.precision import MixedPrecision, check_precision
from wsiamf.training.loop.randomness import epoch_seed, own_randomness, seed_generators
from wsiamf.training.loop.schedule import new_average, new_optimizer, new_scheduler
from wsiamf.training.loop.states import describe_run, load_state, save_state, trained_state
from wsiamf.training.loop.validating import validate
from wsiamf.training.networks import network_spec

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run is; part of what is resumed."""

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    log: list[Row] = field(default_factory=list)

    def remaining_seconds(self, epochs: int) -> float:
        """What the epochs that are left will take, going by the last three; early stopping may spare some of it."""
        recent = [row["seconds"] for row in self.log[-3:]]
        return (epochs - self.epoch) * float(np.mean(recent)) if recent else math.nan


def check_fit(fit: FitConfig, device: torch.device) -> None:
    """Raise a ``ConfigError`` where the device or the installation lacks what the training loop is asked for."""
    check_precision(fit.precision, device)
    if fit.tensorboard:
        check_tensorboard()


class Trainer:
    """Trains one network.

    Args:
        network: With its starting weights; on the device.
        preprocess: Crops to input, on the device.
        config: The whole configuration.
        train: Crops to learn from.
        validation: Crops that choose the epoch; None with ``fit.keep: last``.
        folder: Where ``log.csv``, ``state.pt`` and the folder ``tensorboard`` go; exists.
        seed: Of the order of crops, their augmentation and dropout.
        workers: Processes that augment.
        teacher: Its word on each augmented crop is learnt beside the votes, as ``config.distil`` says.

    Raises:
        TrainingError: There are too few crops, crops of one class alone, or no validation part where one is needed.
        ConfigError: As ``check_fit``.
    """

    def __init__(
        self,
        network: MitosisClassifier,
        preprocess: Preprocess,
        config: TrainConfig,
        train: LabelledCrops,
        validation: LabelledCrops | None,
        folder: Path,
        *,
        seed: int,
        workers: int = 2,
        teacher: Teacher | None = None,
    ) -> None:
        self._device = next(network.parameters()).device
        check_fit(config.fit, self._device)
        _check_parts(config.fit, train, validation)
        self._config, self._fit = config, config.fit
        self._train, self._validation = train, validation
        self._folder = folder
        self._seed = seed
        self._workers = workers
        self._teacher = teacher
        self._network = network.to(memory_format=torch.channels_last)
        self._preprocess = preprocess
        self._targets = as_targets(train, self._device)
        self._weights = crop_weights(train, config.loss).to(self._device)
        self._optimizer = new_optimizer(network, config.fit)
        steps = config.fit.epochs * (len(train) // config.fit.batch_size)
        self._scheduler = new_scheduler(self._optimizer, config.fit, steps)
        self._average = new_average(network, config.fit)
        self._precision = MixedPrecision(config.fit.precision, self._device)
        self._best: dict[str, Tensor] = {}
        self.progress = Progress()

    def run(self, on_epoch: Callable[[Progress], None] = lambda _: None) -> dict[str, Tensor]:
        """Train until the last epoch or until patience is spent.

        Args:
            on_epoch: Called after each epoch; an exception that it raises ends the run, which can be resumed.

        Returns:
            The weights of the epoch that ``fit.keep`` names.

        Raises:
            TrainingError: Loss or gradient are not finite, or the saved state is damaged or another configuration's.
        """
        run = describe_run(self._config, self._seed, self._train, self._validation)
        self._resume(run)
        order = EpochOrder(len(self._train), self._seed)
        batches = self._batches(order)
        with own_randomness(self._device), self._events() as add_events:
            while not self._finished():
                order.epoch = self.progress.epoch + 1
                add_events(self._epoch(batches))
                self._save(run)
                on_epoch(self.progress)
        return self._network.state_dict() | self._best

    def _batches(self, order: EpochOrder) -> DataLoader[tuple[Tensor, int]]:
        teachers = self._config.distil.teachers if self._config.distil is not None else ()
        seen_by_teachers = (network_spec(one.network).reach_px for one in teachers)
        view_px = max(*(one.view_px for one in self._preprocess.inputs), *seen_by_teachers, 0)
        return load_batches(
            self._train,
            build_augmentation(self._config.augment, view_px=view_px),
            order,
            seed=self._seed,
            batch_size=self._fit.batch_size,
            workers=self._workers,
            pin=self._device.type == "cuda",
        )

    @contextmanager
    def _events(self) -> Iterator[Callable[[Row], None]]:
        if self._fit.tensorboard and not self._finished():
            with tensorboard_events(self._folder / "tensorboard", self.progress.epoch) as add:
                yield add
        else:
            yield lambda _: None

    @property
    def _evaluated(self) -> nn.Module:
        return self._average.module if self._average is not None else self._network

    def _finished(self) -> bool:
        progress = self.progress
        stale = self._fit.keep == "best" and progress.epoch - progress.best_epoch >= self._fit.patience
        return progress.epoch >= self._fit.epochs or stale

    def _epoch(self, batches: DataLoader[tuple[Tensor, int]]) -> Row:
        started = time.perf_counter()
        epoch = self.progress.epoch + 1
        seed_generators(self._device, epoch_seed(self._seed, epoch))
        self._network.train()
        losses = [self._step(crops, rows, step) for step, (crops, rows) in enumerate(batches, start=1)]
        row: Row = {"epoch": epoch, "loss": float(np.mean(losses))}
        if self._validation is not None:
            row |= validate(self._evaluated, self._preprocess, self._validation, self._config.loss)
        row |= {"lr": float(self._scheduler.get_last_lr()[-1]), "seconds": time.perf_counter() - started}
        self._note(row)
        return row

    def _note(self, row: Row) -> None:
        """Count an epoch as done, and keep its weights if it is the one to keep so far."""
        progress, epoch = self.progress, int(row["epoch"])
        progress.epoch = epoch
        progress.log.append(row)
        score = row["validation_balanced_accuracy"] if self._fit.keep == "best" else epoch
        if score > progress.best_score:
            progress.best_score, progress.best_epoch = score, epoch
            kept = trained_state(self._evaluated)
            self._best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in kept.items()}

    def _step(self, crops_NVVC: Tensor, rows_N: Tensor, step: int) -> float:
        loss = self._loss(crops_NVVC.to(self._device, non_blocking=True), rows_N.to(self._device))
        self._stop_unless_finite("loss", loss, step)
        self._precision.backward(loss, self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), self._fit.clip_norm)
        if not self._precision.may_overflow:
            self._stop_unless_finite("gradient", norm, step)
        if self._precision.step(self._optimizer):
            self._scheduler.step()
            if self._average is not None:
                self._average.update_parameters(self._network)
        return float(loss.item())

    def _loss(self, crops_NVVC: Tensor, rows_N: Tensor) -> Tensor:
        config, weights_N = self._config, self._weights[rows_N]
        images = self._preprocess(crops_NVVC).contiguous(memory_format=torch.channels_last)
        with self._precision.autocast():
            logits = self._network(images)
        logits = {head: values.float() for head, values in logits.items()}
        loss = total_loss(logits, targets_of(self._targets, rows_N), config.loss, weights_N)
        if self._teacher is None or config.distil is None:
            return loss
        with torch.no_grad(), self._precision.autocast():
            said = self._teacher(crops_NVVC)
        said = {head: values.float() for head, values in said.items()}
        told = distillation_loss(logits, said, config.loss, config.distil.temperature, weights_N)
        return (1 - config.distil.weight) * loss + config.distil.weight * told

    def _stop_unless_finite(self, what: str, value: Tensor, step: int) -> None:
        if not bool(torch.isfinite(value)):
            raise TrainingError(
                f"{self._folder}: the {what} became {value.item()} in epoch {self.progress.epoch + 1}, step {step}; lower "
                "fit.lr_backbone and fit.lr_heads, or choose fit.precision: f32. What was saved before stands."
            )

    def _save(self, run: dict[str, object]) -> None:
        average = self._average
        state = {
            "network": trained_state(self._network),
            "average": None if average is None else trained_state(average.module),
            "n_averaged": None if average is None else int(average.n_averaged),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "precision": self._precision.state_dict(),
            "best": self._best,
            "progress": vars(self.progress),
        }
        write_log(self._folder / "log.csv", self.progress.log)
        save_state(self._folder / "state.pt", run, state)

    def _resume(self, run: dict[str, object]) -> None:
        state = load_state(self._folder / "state.pt", run)
        if state is None:
            return
        self._network.load_state_dict(state["network"], strict=False)  # frozen parts are as they were
        if self._average is not None:
            self._average.module.load_state_dict(state["average"], strict=False)
            self._average.n_averaged.fill_(state["n_averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._precision.load_state_dict(state["precision"])
        self._best = state["best"]
        self.progress = Progress(**state["progress"])
        logger.info("%s: resumed after epoch %d", self._folder, self.progress.epoch)


def _check_parts(fit: FitConfig, train: LabelledCrops, validation: LabelledCrops | None) -> None:
    if len(train) < fit.batch_size:
        raise TrainingError(f"{len(train)} training crops are fewer than fit.batch_size ({fit.batch_size}).")
    if validation is None and fit.keep == "best":
        raise TrainingError("fit.keep: best needs a validation part; set fit.keep: last.")
    for name, part in {"training": train, "validation": validation}.items():
        if part is not None and len(np.unique(part.amf)) < 2:
            raise TrainingError(f"the {name} part has crops of one class alone; it needs both AMF and NMF.")
