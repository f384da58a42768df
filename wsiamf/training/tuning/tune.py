"""``wsiamf tune``: search for values of a recipe that do better, on an inner split of the training part.

Test parts, validation parts and sets that are not trained on are never looked at, so that what is measured on them afterwards
remains unseen. Where nothing is kept back (``data.split.validation: 0``) all sets that are split are searched on, and the
figures of a cross-validation of the same sets are, by as much as the search chose among, optimistic.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import pandas as pd
import yaml
from optuna.trial import FrozenTrial

from wsiamf.config import CrossvalConfig, TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.files import atomic_file, output_errors, sha256_bytes, write_text
from wsiamf.training.labels import LabelledCrops, union
from wsiamf.training.loop.fit import Progress
from wsiamf.training.overlap import read_apart
from wsiamf.training.recipe import Report, fit_network, silent
from wsiamf.training.splits import TRAIN, make_folds, split_by_group
from wsiamf.training.tuning.study import (
    STOPPED,
    begin_with,
    best_trial,
    finished_trials,
    open_study,
    refuse_strangers,
    run_trials,
    suggest,
)
from wsiamf.training.tuning.tuned_values import check_space, tunable_values, with_values

STUDY: Final = "study.sqlite"
TRIALS: Final = "trials.csv"
BEST: Final = "best.yaml"
_FOLDS: Final = 5  # a trial is scored on one fifth of the figures or more
_DECIMALS: Final = 6


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        best: The whole configuration with the best values, as ``best.yaml``; None where every trial was pruned.
        metric: What was maximised.
        value: The best trial's.
        own_value: That of the configuration's own values; None where these lie outside the space or were pruned.
        n_trials: Trials done, pruned ones included.
    """

    best: TrainConfig | None
    metric: str
    value: float
    own_value: float | None
    n_trials: int


@dataclass(frozen=True)
class _Search:
    """One search: its configuration, its folds of crops, and where and how to train."""

    config: TrainConfig
    folds: tuple[tuple[LabelledCrops, LabelledCrops], ...]
    out: Path
    device: str
    workers: int
    report: Report

    def score(self, trial: optuna.Trial) -> float:
        """Train with the trial's values on each fold; the mean of the metric at the epoch that the recipe keeps."""
        values = suggest(trial, self.config.tune.space, tunable_values(self.config))
        recipe = with_values(self.config, values)
        folder = Path(tempfile.mkdtemp(prefix=".wsiamf-trial-", dir=self.out))
        try:
            return float(np.mean([self._score_fold(trial, recipe, fold, folder) for fold in range(len(self.folds))]))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _score_fold(self, trial: optuna.Trial, recipe: TrainConfig, fold: int, folder: Path) -> float:
        scores: list[float] = []
        train, validation = self.folds[fold]
        fit_network(
            recipe,
            train,
            validation,
            folder / f"fold-{fold + 1}",
            device=self.device,
            workers=self.workers,
            report=partial(self._on_epoch, trial, recipe.name, fold, scores),
        )
        return scores[-1]

    def _on_epoch(
        self, trial: optuna.Trial, of: str, fold: int, scores: list[float], name: str, epochs: int, progress: Progress
    ) -> None:
        """Tell the study how an epoch went; raises ``TrialPruned`` where the trial is not worth going on with."""
        self.report(f"trial {trial.number + 1}, {name}", epochs, progress)
        if name != of:  # a teacher, whose own score is not asked for
            return
        column = f"validation_{self.config.tune.metric}"
        scores.append(float(progress.log[progress.best_epoch - 1][column]))
        trial.report(float(progress.log[-1][column]), fold * epochs + progress.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned


def tune_recipe(
    config: TrainConfig,
    data_root: Path,
    out: Path,
    *,
    trials: int | None = None,
    device: str = "auto",
    workers: int = 2,
    report: Report = silent,
) -> Tuned:
    """Search for the values of ``config.tune.space`` of highest ``config.tune.metric``.

    Writes ``study.sqlite``, ``trials.csv`` and, once a trial is done, ``best.yaml``. A search that was interrupted goes on when
    called again with the same ``out``; the trial that was interrupted is done again with the same values.

    Args:
        config: The configuration; a trial trains one run of it for ``tune.epochs``.
        data_root: The folder that the sets' paths are relative to.
        out: The search's folder; made if missing.
        trials: How many in all, those of earlier calls included; left out: ``tune.trials``.
        device: As ``inference.torch_backend.choose_device``.
        workers: Processes that augment.
        report: Called after each epoch.

    Raises:
        ConfigError: The space names what cannot be tuned.
        TrainingError: Data are unusable, or the study in ``out`` is another one.
    """
    check_space(config)
    refuse_strangers(out / STUDY, out / TRIALS, out / BEST)
    recipe = _trial_recipe(config)
    search = _Search(recipe, tuple(tuning_folds(config, data_root)), out, device, workers, report)
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with open_study(out / STUDY, _identity(search), epochs=recipe.fit.epochs) as study:
            begin_with(study, _own_values(config))
            for _ in run_trials(study, search.score, trials or config.tune.trials, seed=config.seed):
                _write_results(study, config, data_root, out)
            _write_results(study, config, data_root, out)
            return _result(study, config)


def tuning_folds(config: TrainConfig, data_root: Path) -> Iterator[tuple[LabelledCrops, LabelledCrops]]:
    """Training and validation crops of each fold that a trial is scored on; no group in both.

    Raises:
        TrainingError: A set is unusable, two overlap, or none is split.
    """
    read = list(
        zip(config.data.sets, read_apart(config.data.sets, data_root), strict=True)
    )  # also what is only kept apart
    split = [_training_part(data, config) for one, data in read if one.use == "split"]
    always = [data for one, data in read if one.use == "train"]
    if not split:
        raise TrainingError("data.sets: one set must have use: split; a trial is scored on a part of it.")
    searched = union(split)
    chosen = CrossvalConfig(folds=_FOLDS, seed=config.crossval.seed)
    fold_N = make_folds(searched, chosen).fold_N
    for fold in range(1, config.tune.scored_folds + 1):
        train = searched.subset(np.flatnonzero(fold_N != fold))
        yield union([train, *always]) if always else train, searched.subset(np.flatnonzero(fold_N == fold))


def _training_part(data: LabelledCrops, config: TrainConfig) -> LabelledCrops:
    return data.subset(np.flatnonzero(split_by_group(data, config.data.split) == TRAIN))


def _trial_recipe(config: TrainConfig) -> TrainConfig:
    """What a trial trains: one run, for as many epochs as ``tune`` says."""
    fit = config.fit.model_copy(update={"epochs": config.tune.epochs or config.fit.epochs, "runs": 1})
    return config.model_copy(update={"fit": fit})


def _own_values(config: TrainConfig) -> dict[str, float]:
    """The configuration's own values where they lie in the space."""
    own = tunable_values(config)
    return {name: own[name] for name, one in config.tune.space.items() if one.low <= own[name] <= one.high}


def _identity(search: _Search) -> dict[str, str]:
    """What makes two searches one: recipe, space and crops, by the configuration's words."""
    parts = search.config.model_dump(
        mode="json", include={"network", "loss", "augment", "fit", "distil", "seed"} | {"tune"}
    )
    space = {"tune.space": parts["tune"].pop("space")}
    del parts["tune"]["trials"]  # a search may be lengthened
    rows = [part.table[["set", "file", "amf", "weight"]].to_csv(index=False) for fold in search.folds for part in fold]
    return {key: _hash(value) for key, value in {**parts, **space, "data": rows}.items()}


def _hash(value: Any) -> str:
    return sha256_bytes(json.dumps(value, sort_keys=True).encode())


def _write_results(study: optuna.Study, config: TrainConfig, data_root: Path, out: Path) -> None:
    table = pd.DataFrame([_row(trial) for trial in finished_trials(study)])
    with atomic_file(out / TRIALS) as path:
        table.to_csv(path, index=False, lineterminator="\n")
    best = best_trial(study)
    if best is not None:
        tuned = _tuned(config, best).model_dump(mode="json")
        tuned["data"]["root"] = Path(os.path.relpath(data_root, out)).as_posix()
        head = f"# {config.tune.metric} {best.value:.4f} in trial {best.number + 1} of `wsiamf tune`.\n"
        write_text(out / BEST, head + yaml.safe_dump(tuned, sort_keys=False, allow_unicode=True))


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number + 1,
        "state": "pruned" if trial.value is None or trial.state.name == "PRUNED" else "done",
        "value": None if trial.value is None else round(trial.value, _DECIMALS),
        "epochs": len(trial.intermediate_values),
        "seconds": round(trial.duration.total_seconds()) if trial.duration else None,
        **{name: float(f"{value:.6g}") for name, value in trial.params.items()},
        "stopped": trial.user_attrs.get(STOPPED),
    }


def _tuned(config: TrainConfig, best: FrozenTrial) -> TrainConfig:
    return with_values(config, best.params).model_copy(update={"name": f"{config.name}-tuned"})


def _result(study: optuna.Study, config: TrainConfig) -> Tuned:
    best, own = best_trial(study), _own_values(config)
    finished = finished_trials(study)
    own_values = [one.value for one in finished if one.params == own and one.state.name == "COMPLETE"]
    return Tuned(
        best=None if best is None else _tuned(config, best),
        metric=config.tune.metric,
        value=float("nan") if best is None or best.value is None else best.value,
        own_value=own_values[0] if own_values else None,
        n_trials=len(finished),
    )
