"""Splitting labelled crops: into training, validation and test, and into the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from wsiamf.config import CrossvalConfig, SplitConfig
from wsiamf.errors import TrainingError
from wsiamf.files import atomic_file
from wsiamf.training.labels import LabelledCrops

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"

_INNER_FOLDS: Final = 5


@dataclass(frozen=True)
class Folds:
    """The folds of a cross-validation.

    Args:
        names: What each fold is called, from fold 1 on: its number, or the domain that it holds out.
        fold_N: The fold, 1 to K, in which each crop is held out.
    """

    names: tuple[str, ...]
    fold_N: NDArray[np.int_]

    def __iter__(self) -> Iterator[int]:
        """The folds' numbers."""
        return iter(range(1, len(self.names) + 1))

    def write(self, path: Path, data: LabelledCrops) -> None:
        """Write ``set, file, group, fold, name``, one row a crop."""
        table = data.table[["set", "file"]].assign(
            group=data.groups, fold=self.fold_N, name=[self.names[fold - 1] for fold in self.fold_N]
        )
        with atomic_file(path) as partial:
            table.to_csv(partial, index=False, lineterminator="\n")


def make_folds(data: LabelledCrops, config: CrossvalConfig) -> Folds:
    """Assign each crop to the fold that holds it out.

    Raises:
        TrainingError: Too few groups or figures of a class, no domains, or a fold without AMF or NMF.
    """
    if config.scheme == "domain":
        folds = _by_domain(data)
    else:
        fold_N = 1 + (
            _grouped(data, config.folds, config.seed)
            if config.scheme == "grouped"
            else _ungrouped(data, config.folds, config.seed)
        )
        folds = Folds(tuple(str(k + 1) for k in range(config.folds)), fold_N)
    _check_folds(folds, data)
    return folds


def read_folds(path: Path, data: LabelledCrops) -> Folds:
    """Read folds that an earlier run saved, for the same crops in any order.

    Raises:
        TrainingError: Not such a file, or a crop is missing in it; names the crop.
    """
    try:
        table = pd.read_csv(path, dtype={"set": str, "file": str, "name": str})
        known = table.set_index(["set", "file"])[["fold", "name"]]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{path}: not a table of folds (set, file, fold, name): {error}.") from error
    if known.index.has_duplicates:
        raise TrainingError(f"{path}: names {known.index[known.index.duplicated()][0][1]} twice.")
    found = known.reindex(pd.MultiIndex.from_frame(data.table[["set", "file"]]))
    missing = np.flatnonzero(found["fold"].isna())
    if len(missing):
        first = data.table.iloc[missing[0]]
        raise TrainingError(
            f"{path}: has no fold for {len(missing)} crop(s), {first['set']} {first['file']} among them."
        )
    names = table.drop_duplicates("fold").sort_values("fold")
    if list(names["fold"]) != list(range(1, len(names) + 1)):
        raise TrainingError(f"{path}: folds must be numbered from 1 without a gap.")
    folds = Folds(tuple(names["name"]), found["fold"].to_numpy(dtype=int))
    _check_folds(folds, data)
    return folds


def inner_validation(data: LabelledCrops, seed: int) -> tuple[LabelledCrops, LabelledCrops]:
    """A training part without, and only with, one of five grouped parts of it that are stratified alike."""
    held_out = _grouped(data, _INNER_FOLDS, seed) == 0
    return data.subset(np.flatnonzero(~held_out)), data.subset(np.flatnonzero(held_out))


def split_by_group(data: LabelledCrops, config: SplitConfig) -> NDArray[np.str_]:
    """Assign each crop to training, validation or test; a group (case or slide) is never torn apart.

    Stratified on AMF/NMF x easy/hard as far as whole groups allow: of scikit-learn's ``StratifiedGroupKFold`` those folds are
    held out that come nearest to their due share of each stratum. Only labels decide, never a model.

    Returns:
        Array (N,) of ``train``, ``validation``, ``test``.

    Raises:
        TrainingError: There are fewer groups than folds, or a part is left without AMF or NMF.
    """
    if config.validation == 0:
        return np.full(len(data), TRAIN)
    fold_N = _grouped(data, config.folds, config.seed)
    strata = _strata(data, config.folds)
    choices = (_assign(fold_N, held_out) for held_out in _held_out_folds(config))
    parts = min(choices, key=lambda one: _imbalance(one, strata, config))
    for part in (TRAIN, VALIDATION, TEST) if config.test else (TRAIN, VALIDATION):
        _check_classes(data.amf[parts == part], f"the {part} part", "change data.split.seed")
    return parts


def _grouped(data: LabelledCrops, folds: int, seed: int) -> NDArray[np.int_]:
    """Fold (from 0) of each crop; no group in two."""
    groups = data.groups.to_numpy(dtype=str)
    if (n := len(np.unique(groups))) < folds:
        raise TrainingError(f"{n} slides or cases cannot be split into {folds} folds; lower the number of folds.")
    strata = _strata(data, folds)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return _numbered(splitter.split(strata, strata, groups), len(data))


def _ungrouped(data: LabelledCrops, folds: int, seed: int) -> NDArray[np.int_]:
    strata = _strata(data, folds)
    return _numbered(StratifiedKFold(folds, shuffle=True, random_state=seed).split(strata, strata), len(data))


def _by_domain(data: LabelledCrops) -> Folds:
    domains = data.table["domain"]
    names = tuple(sorted(domains.dropna().unique()))
    if domains.isna().any() or len(names) < 2:
        raise TrainingError(
            f"crossval.scheme: domain needs a domain for every crop and at least two of them; there are {len(names)}, "
            f"and {int(domains.isna().sum())} crop(s) without one."
        )
    return Folds(names, domains.map({name: k for k, name in enumerate(names, start=1)}).to_numpy(dtype=int))


def _numbered(splits: Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]], n: int) -> NDArray[np.int_]:
    fold_N = np.empty(n, dtype=int)
    for number, (_, rows) in enumerate(splits):
        fold_N[rows] = number
    return fold_N


def _strata(data: LabelledCrops, folds: int) -> NDArray[np.int_]:
    """0 NMF easy, 1 NMF hard, 2 AMF easy, 3 AMF hard; hard ones too few for the folds go with the easy ones of their class."""
    strata = (data.table["amf"] * 2 + data.table["hard"].fillna(0)).to_numpy(dtype=int)
    counts = np.bincount(strata, minlength=4)
    for hard in (1, 3):
        if counts[hard] < folds:
            strata[strata == hard] = hard - 1
    for easy, name in ((0, "NMF"), (2, "AMF")):
        if (n := int(counts[easy : easy + 2].sum())) < folds:
            raise TrainingError(f"{n} {name} cannot be split into {folds} folds; lower the number of folds.")
    return strata


def _held_out_folds(config: SplitConfig) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every choice of validation folds and test folds."""
    for validation in combinations(range(config.folds), config.validation):
        rest = [fold for fold in range(config.folds) if fold not in validation]
        for test in combinations(rest, config.test):
            yield validation, test


def _assign(fold_N: NDArray[np.int_], held_out: tuple[tuple[int, ...], tuple[int, ...]]) -> NDArray[np.str_]:
    validation, test = held_out
    return np.select([np.isin(fold_N, validation), np.isin(fold_N, test)], [VALIDATION, TEST], TRAIN)


def _imbalance(parts: NDArray[np.str_], strata: NDArray[np.int_], config: SplitConfig) -> float:
    """Largest relative deviation of a held-out part's count in a stratum from its due share."""
    due = {VALIDATION: config.validation / config.folds, TEST: config.test / config.folds}
    totals = np.bincount(strata)
    gaps = [
        np.bincount(strata[parts == part], minlength=len(totals)) / (totals * share) - 1
        for part, share in due.items()
        if share
    ]
    return float(np.abs(np.array(gaps)[:, totals > 0]).max())


def _check_folds(folds: Folds, data: LabelledCrops) -> None:
    for fold in folds:
        held_out = folds.fold_N == fold
        name = f"fold {folds.names[fold - 1]}"
        _check_classes(data.amf[held_out], name, "lower crossval.folds or change crossval.seed")
        _check_classes(data.amf[~held_out], f"the training part of {name}", "lower crossval.folds")


def _check_classes(amf: NDArray[np.float64], part: str, remedy: str) -> None:
    present = set(amf)
    if len(present) < 2:
        raise TrainingError(f"{part} has no {'AMF' if 1.0 not in present else 'NMF'}; {remedy}.")
