"""One recipe: from labelled crops to one fitted network, with everything that its configuration asks for on the way.

Teachers, if any, are fitted first, each as a recipe of its own on the same crops; then the network's runs, whose weights are
averaged. Training, cross-validation and tuning all go through ``fit_network``, so that what is measured is what is shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from wsiamf.classes import HARDNESS, PHASE
from wsiamf.config import TeacherConfig, TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.inference.torch_backend import choose_device
from wsiamf.model import MitosisClassifier, Preprocess
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.loop.averaging import average_weights, reestimate_statistics
from wsiamf.training.loop.distil import Teacher
from wsiamf.training.loop.fit import Progress, Trainer, check_fit
from wsiamf.training.networks import check_network, new_network, new_preprocess

Report = Callable[[str, int, Progress], None]
"""Called after each epoch with the run's name, the number of epochs and how far it is."""

_SEED_STEP: Final = 1000  # between the runs of one network; teachers start at seeds of their own
_TEACHER_SEED_STEP: Final = 100_000
_P_MIN: Final = 1e-6


def silent(_name: str, _epochs: int, _progress: Progress) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Fitted:
    """A fitted network, in evaluation mode on its device, and how a crop becomes its input."""

    network: MitosisClassifier
    preprocess: Preprocess


def known_raters(data: LabelledCrops) -> tuple[str, ...]:
    """Ids of the raters with a vote on at least one crop, in the order of the columns: each gets a head."""
    voted = data.votes.notna().any()
    return tuple(voted.index[voted])


def with_raters(data: LabelledCrops, raters: Sequence[str]) -> LabelledCrops:
    """The crops with exactly these raters' columns; a rater who saw none of them has no votes."""
    return replace(data, votes=data.votes.reindex(columns=list(raters)))


def fit_network(
    config: TrainConfig,
    train: LabelledCrops,
    validation: LabelledCrops | None,
    folder: Path,
    *,
    device: str = "auto",
    workers: int = 2,
    report: Report = silent,
) -> Fitted:
    """Fit one network; an interrupted call goes on where it stood when called again with the same folder.

    Args:
        config: The configuration.
        train: Crops to learn from; every rater with a vote gets a head.
        validation: Crops that choose the epoch; None with ``fit.keep: last``.
        folder: Where states and logs go; made if missing.
        device: As ``inference.torch_backend.choose_device``.
        workers: Processes that augment.
        report: Called after each epoch; an exception that it raises ends the run.

    Raises:
        TrainingError: The loss is not finite, a state in ``folder`` is another configuration's, or weights cannot be had.
    """
    raters = known_raters(train)
    check_recipe(config, raters, device)
    _check_labels(config, train)
    train = with_raters(train, raters)
    validation = with_raters(validation, raters) if validation is not None else None
    teachers = [
        fit_network(
            _as_recipe(config, teacher, number),
            train,
            validation,
            folder / f"teacher-{number}",
            device=device,
            workers=workers,
            report=report,
        )
        for number, teacher in enumerate(config.distil.teachers if config.distil else (), start=1)
    ]
    return _fit_runs(config, train, validation, folder, _mean_of(teachers), device, workers, report)


def check_recipe(config: TrainConfig, raters: tuple[str, ...], device: str) -> None:
    """Make sure, before any of them is fitted, that student and teachers can be built and trained on the device.

    Raises:
        TrainingError: A network cannot be built, or does not take its input.
        ConfigError: The device or the installation lacks what the training loop is asked for.
    """
    place = choose_device(device)
    teachers = config.distil.teachers if config.distil is not None else ()
    for network, fit in [(config.network, config.fit), *((one.network, one.fit or config.fit) for one in teachers)]:
        check_fit(fit, place)
        check_network(network, raters)


def _check_labels(config: TrainConfig, train: LabelledCrops) -> None:
    """Make sure that every head that is asked for has something to learn."""
    if config.network.hardness and set(train.table["hard"].dropna()) != {0.0, 1.0}:
        raise TrainingError(
            "network.hardness: true has nothing to learn: it needs crops on which two or more raters agree and others on which "
            "they do not; set network.hardness: false."
        )
    if config.network.phase and not (train.phases_NR >= 0).any():
        raise TrainingError(
            "network.phase: true has nothing to learn: no training set gives phases (AMi-Br does); set network.phase: false "
            "and loss.phase_weight: 0."
        )


def _as_recipe(config: TrainConfig, teacher: TeacherConfig, number: int) -> TrainConfig:
    return config.model_copy(
        update={
            "name": f"{config.name} teacher {number}",
            "seed": config.seed + number * _TEACHER_SEED_STEP,
            "network": teacher.network,
            "fit": teacher.fit or config.fit,
            "distil": None,
        }
    )


def _fit_runs(
    config: TrainConfig,
    train: LabelledCrops,
    validation: LabelledCrops | None,
    folder: Path,
    teacher: Teacher | None,
    device: str,
    workers: int,
    report: Report,
) -> Fitted:
    place = choose_device(device)
    preprocess = new_preprocess(config.network).to(place)
    kept: list[dict[str, Tensor]] = []
    for run in range(1, config.fit.runs + 1):
        torch.manual_seed(config.seed)  # every run starts from the same weights
        network = new_network(config.network, train.raters).to(place)
        run_folder = folder / f"run-{run}"
        run_folder.mkdir(parents=True, exist_ok=True)
        seed = config.seed + (run - 1) * _SEED_STEP
        trainer = Trainer(
            network, preprocess, config, train, validation, run_folder, seed=seed, workers=workers, teacher=teacher
        )
        name = config.name if config.fit.runs == 1 else f"{config.name} run {run}/{config.fit.runs}"
        kept.append(trainer.run(partial(report, name, config.fit.epochs)))
    network.load_state_dict(average_weights(kept))
    if len(kept) > 1:
        reestimate_statistics(network, preprocess, train)
    return Fitted(network.eval(), preprocess)


def _mean_of(teachers: Sequence[Fitted]) -> Teacher | None:
    """What the teachers say together of augmented crops: the logits of the mean of their probabilities."""
    if not teachers:
        return None

    def say(crops_NSS3: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            said = [one.network(_as_input(one.preprocess(crops_NSS3))) for one in teachers]
        return {head: _mean_logits(head, [one[head] for one in said]) for head in said[0]}

    return say


def _as_input(images_NCHW: Tensor) -> Tensor:
    return images_NCHW.contiguous(memory_format=torch.channels_last)


def _mean_logits(head: str, logits: Sequence[Tensor]) -> Tensor:
    """Logits of the mean probability: of softmax where a head's outputs exclude one another, else of the sigmoid."""
    together = torch.stack([one.float() for one in logits])
    if head == PHASE or (head == HARDNESS and together.shape[-1] > 1):
        return together.softmax(dim=-1).mean(dim=0).log()
    return torch.logit(together.sigmoid().mean(dim=0), eps=_P_MIN)
