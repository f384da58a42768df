"""``wsiamf crossval``: out-of-fold predictions of a recipe, fold by fold, and their figures.

Sets marked ``use: split`` are cut into folds; those marked ``use: train`` join the training part of every fold; those marked
``use: test`` are predicted by the network of every fold. Calibration and thresholds of a fold come from the other folds.

A fold that is done is a small folder of tables, kept apart from the states of the networks, so that it can be stored and
resumed from without the weights.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from wsiamf._version import __version__
from wsiamf.bundle import SPEC, WEIGHTS, open_bundle, write_bundle
from wsiamf.config import SetConfig, TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.files import dump_json, output_errors, sha256_bytes, write_text
from wsiamf.inference import Classifier
from wsiamf.training.card import license_text
from wsiamf.training.deciding import decide, head_raters, with_cross_fitted, with_decision
from wsiamf.training.figures.writing import write_figures
from wsiamf.training.labels import LabelledCrops, union
from wsiamf.training.measuring import (
    predict_labelled,
    read_table,
    stack_tables,
    store_bundle,
    write_table,
)
from wsiamf.training.overlap import read_apart, refuse_overlap
from wsiamf.training.recipe import Report, fit_network, silent
from wsiamf.training.splits import Folds, inner_validation, make_folds, read_folds

logger = logging.getLogger(__name__)

OUT_OF_FOLD: Final = "out_of_fold.csv"
TESTS: Final = "test_predictions.csv"
RECORD: Final = "record.json"
_RECORD_SCHEMA: Final = "wsiamf.fold/1"
_FOLD_CARD: Final = """\
# {name}, fold {fold}

One network of a cross-validation, trained without fold {fold} and calibrated on the other folds; its figures stand in the run's
folder. **Research use only.**
"""


@dataclass(frozen=True)
class CrossvalData:
    """Labelled crops by their part in a cross-validation.

    Args:
        folded: The crops that are held out fold by fold.
        always: Crops that join every training part; None for none.
        tests: Sets that no network trains on.
    """

    folded: LabelledCrops
    always: LabelledCrops | None
    tests: tuple[LabelledCrops, ...]


def withhold(config: TrainConfig, names: Sequence[str]) -> TrainConfig:
    """The configuration in which the sets of these kinds or names are tests.

    Raises:
        TrainingError: There is no such set, or it is the one that is cut into folds.
    """
    sets = {one.name or one.kind: one for one in config.data.sets}
    for name in names:
        if name not in sets or sets[name].use == "split":
            known = ", ".join(key for key, one in sets.items() if one.use != "split") or "none"
            raise TrainingError(f"--without {name}: no set that training could go without; such sets are: {known}.")
    changed = tuple(
        one.model_copy(update={"use": "test"}) if (one.name or one.kind) in names else one for one in config.data.sets
    )
    return config.model_copy(update={"data": config.data.model_copy(update={"sets": changed})})


def cross_validate(
    config: TrainConfig,
    data_root: Path,
    out: Path,
    *,
    folds_file: Path | None = None,
    only: Sequence[int] = (),
    device: str = "auto",
    workers: int = 2,
    report: Report = silent,
) -> pd.DataFrame:
    """Fit the recipe once a fold and write ``out/out_of_fold.csv``; called again with the same ``out``, it goes on.

    Args:
        config: The recipe and its sets.
        data_root: The folder that the sets' paths are relative to.
        out: The run's folder; made if missing.
        folds_file: Folds of an earlier run; None makes them as ``config.crossval`` says.
        only: Numbers of the folds to do now; empty for all. The tables hold what is done.
        device: As ``inference.torch_backend.choose_device``.
        workers: Processes that augment.
        report: Called after each epoch.

    Returns:
        The out-of-fold table of all folds that are done.

    Raises:
        TrainingError: Data, folds or configuration are unusable, or ``out`` holds another configuration's folds.
    """
    if config.crossval.validation == "none" and config.fit.keep == "best":
        raise TrainingError(
            "crossval.validation: none leaves nothing to choose the best epoch with; set fit.keep: last, or "
            "crossval.validation: inner."
        )
    data = read_parts(config.data.sets, data_root)
    folds = make_folds(data.folded, config.crossval) if folds_file is None else read_folds(folds_file, data.folded)
    if unknown := [number for number in only if number not in list(folds)]:
        raise TrainingError(f"--fold {unknown[0]}: there are folds 1 to {len(folds.names)}.")
    run = _Run(config, data, folds, out)
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        done = {fold for fold in folds if run.is_done(fold)}  # looked at first: a foreign fold is an error at once
        folds.write(out / "folds.csv", data.folded)
        write_text(out / "config.json", config.model_dump_json(indent=1) + "\n")
        for fold in sorted(set(only or folds) - done):
            run.do_fold(fold, device, workers, report)
        return run.collect()


def write_pages(config: TrainConfig, out: Path) -> None:
    """Write the figures of a cross-validation: ``out/figures``, and ``out/test_figures`` where there are test sets."""
    table = read_table(out / OUT_OF_FOLD)
    notes = list(_notes(config, table))
    write_figures(table, out / "figures", f"{config.name}, out of fold", notes, seed=config.seed)
    if (out / TESTS).exists():
        apart = (
            f"Test sets: each crop is judged by {table['fold'].nunique()} networks, one a fold; figures are their mean."
        )
        tests = read_table(out / TESTS)
        write_figures(tests, out / "test_figures", f"{config.name}, test sets", [*notes, apart], seed=config.seed)


def _notes(config: TrainConfig, table: pd.DataFrame) -> Iterator[str]:
    done, due = table["fold"].nunique(), config.crossval.folds
    if config.crossval.scheme != "domain" and done < due:
        yield f"{done} of {due} folds are done." + (" Its threshold is its own: too good." if done == 1 else "")
    if config.crossval.validation == "fold":
        yield "The epoch was chosen on the held-out fold itself, as in the paper: these figures are optimistic."
    if config.crossval.scheme == "stratified":
        yield "Folds are by crop, as in the paper: crops of one slide stand on both sides, and these figures are optimistic."


def read_parts(sets: Sequence[SetConfig], data_root: Path) -> CrossvalData:
    """Read all sets and make sure that none overlaps with another.

    Raises:
        TrainingError: A set is unusable, two overlap, or none is marked ``use: split``.
    """
    read = list(zip(sets, read_apart(sets, data_root), strict=True))
    by_use = {use: [data for one, data in read if one.use == use] for use in ("split", "train", "test")}
    if not by_use["split"]:
        raise TrainingError("data.sets: one set must have use: split, to be cut into folds.")
    return CrossvalData(
        union(by_use["split"]),
        union(by_use["train"]) if by_use["train"] else None,
        tuple(by_use["test"]),
    )


@dataclass(frozen=True)
class _Run:
    """One cross-validation in one folder."""

    config: TrainConfig
    data: CrossvalData
    folds: Folds
    out: Path

    def is_done(self, fold: int) -> bool:
        """Whether the fold's tables are there; a fold of another cross-validation is an error."""
        path = self._folder(fold) / RECORD
        if not path.exists():
            return False
        try:
            record = json.loads(path.read_bytes())
        except ValueError as error:
            raise TrainingError(f"{path}: not a fold's record; remove {path.parent} to have it done anew.") from error
        differing = [key for key, value in self._identity().items() if record.get(key) != value]
        if differing:
            raise TrainingError(
                f"{path}: is of another cross-validation ({', '.join(differing)}); choose another --out."
            )
        return True

    def do_fold(self, fold: int, device: str, workers: int, report: Report) -> None:
        """Fit the recipe on the rest, predict what the fold holds out, and every test set."""
        folder = self._folder(fold)
        train, validation, held_out = self._parts(fold)
        if self.config.crossval.scheme != "stratified":  # by crop, slides are torn apart on purpose
            refuse_overlap(train, held_out)
        title = f"fold {self.folds.names[fold - 1]}"
        fitted = fit_network(
            self.config,
            train,
            validation,
            folder / "states",
            device=device,
            workers=workers,
            report=lambda name, epochs, progress: report(f"{title}, {name}", epochs, progress),
        )
        bundle = store_bundle(self.config, fitted, train if validation is None else union([train, validation]), folder)
        classifier = Classifier(bundle, backend="torch", device=device, precision="f32")
        write_table(predict_labelled(classifier, held_out).assign(fold=fold), folder / OUT_OF_FOLD)
        tests = [predict_labelled(classifier, one).assign(fold=fold) for one in self.data.tests]
        if tests:
            write_table(stack_tables(tests), folder / TESTS)
        record = {**self._identity(), "fold": fold, "n_train": len(train), "raters": bundle.spec.experts}
        record |= {"weights_sha256": bundle.spec.weights_sha256, "wsiamf": __version__}
        write_text(folder / RECORD, dump_json(record))

    def collect(self) -> pd.DataFrame:
        """Calibrate each fold by the others and write the tables of all folds that are done."""
        done = [fold for fold in self.folds if self.is_done(fold)]
        table = stack_tables([read_table(self._folder(fold) / OUT_OF_FOLD) for fold in done])
        raters = head_raters(table)
        for fold in done:
            self._decide_bundle(fold, table, raters)
        table = with_cross_fitted(table, raters, self.config.seed)
        write_table(table, self.out / OUT_OF_FOLD)
        if self.data.tests:
            tests = stack_tables([read_table(self._folder(fold) / TESTS) for fold in done])
            write_table(with_decision(tests, decide(table, raters, self.config.seed)), self.out / TESTS)
        return table

    def _decide_bundle(self, fold: int, table: pd.DataFrame, raters: tuple[str, ...]) -> None:
        """Give a fold's bundle, where it was kept, the calibration and thresholds of the other folds."""
        folder, others = self._folder(fold), table[table["fold"] != fold]
        if others.empty or not (folder / SPEC).exists():
            return
        decision = decide(others, raters, self.config.seed)
        spec = open_bundle(folder).spec.model_copy(update=decision.spec_fields)
        card = _FOLD_CARD.format(name=spec.name, fold=self.folds.names[fold - 1])
        write_bundle(folder, (folder / WEIGHTS).read_bytes(), spec, card=card, licenses=license_text(self.config))

    def _folder(self, fold: int) -> Path:
        return self.out / f"fold-{fold}"

    def _parts(self, fold: int) -> tuple[LabelledCrops, LabelledCrops | None, LabelledCrops]:
        """Training, validation and held-out crops of a fold."""
        is_held_out = self.folds.fold_N == fold
        held_out = self.data.folded.subset(np.flatnonzero(is_held_out))
        train = self.data.folded.subset(np.flatnonzero(~is_held_out))
        validation = None
        if self.config.crossval.validation == "inner":
            train, validation = inner_validation(train, self.config.crossval.seed)
        elif self.config.crossval.validation == "fold":
            validation = held_out
        if self.data.always is not None:
            train = union([train, self.data.always])
        return train, validation, held_out

    def _identity(self) -> dict[str, Any]:
        """What makes two folds parts of one cross-validation: the recipe, the crops and the folds."""
        recipe = self.config.model_dump(mode="json", exclude={"name", "version", "note", "data", "tune"})
        sets = [one.model_dump(mode="json", exclude={"path", "crops"}) for one in self.config.data.sets]
        parts = [self.data.folded, *([self.data.always] if self.data.always else []), *self.data.tests]
        labels = "".join(part.table[["set", "file", "amf"]].to_csv(index=False) for part in parts)
        return {
            "schema": _RECORD_SCHEMA,
            "recipe": recipe,
            "sets": sets,
            "labels_sha256": sha256_bytes(labels.encode()),
            "folds_sha256": sha256_bytes(self.folds.fold_N.astype("<i8").tobytes()),
            "fold_names": list(self.folds.names),
        }
