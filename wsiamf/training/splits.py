"""Splitting labelled crops by slide."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from wsiamf.config import SplitConfig
from wsiamf.errors import TrainingError
from wsiamf.training.labels import LabelledCrops

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"


def split_by_slide(data: LabelledCrops, config: SplitConfig) -> NDArray[np.str_]:
    """Assign each crop to training, validation or test; a slide is never torn apart.

    Stratified on AMF/NMF x easy/hard as far as whole slides allow: of scikit-learn's ``StratifiedGroupKFold`` those folds are
    held out that come nearest to their due share of each stratum. Only labels decide, never a model.

    Returns:
        Array (N,) of ``train``, ``validation``, ``test``.

    Raises:
        TrainingError: There are fewer slides than folds, or a part is left without AMF or NMF.
    """
    groups = data.groups.to_numpy(dtype=str)
    if len(np.unique(groups)) < config.folds:
        raise TrainingError(f"{len(np.unique(groups))} slides cannot be split into {config.folds} folds.")
    strata = _strata(data, config.folds)
    splitter = StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed)
    fold = np.empty(len(data), dtype=int)
    for number, (_, rows) in enumerate(splitter.split(strata, strata, groups)):
        fold[rows] = number
    choices = (_assign(fold, held_out) for held_out in _held_out_folds(config))
    parts = min(choices, key=lambda one: _imbalance(one, strata, config))
    _check(data.amf, parts)
    return parts


def _strata(data: LabelledCrops, folds: int) -> NDArray[np.int_]:
    """0 NMF easy, 1 NMF hard, 2 AMF easy, 3 AMF hard; hard ones too few for the folds go with the easy ones of their class."""
    strata = (data.table["amf"] * 2 + data.table["hard"].fillna(0)).to_numpy(dtype=int)
    counts = np.bincount(strata, minlength=4)
    for hard in (1, 3):
        if counts[hard] < folds:
            strata[strata == hard] = hard - 1
    for easy, name in ((0, "NMF"), (2, "AMF")):
        if (n := int(counts[easy : easy + 2].sum())) < folds:
            raise TrainingError(f"{n} {name} cannot be split into {folds} folds; lower data.split.folds.")
    return strata


def _held_out_folds(config: SplitConfig) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every choice of validation folds and test folds."""
    for validation in combinations(range(config.folds), config.validation):
        rest = [fold for fold in range(config.folds) if fold not in validation]
        for test in combinations(rest, config.test):
            yield validation, test


def _assign(fold: NDArray[np.int_], held_out: tuple[tuple[int, ...], tuple[int, ...]]) -> NDArray[np.str_]:
    validation, test = held_out
    return np.select([np.isin(fold, validation), np.isin(fold, test)], [VALIDATION, TEST], TRAIN)


def _imbalance(parts: NDArray[np.str_], strata: NDArray[np.int_], config: SplitConfig) -> float:
    """Largest relative deviation of a held-out part's count in a stratum from its due share."""
    due = {VALIDATION: config.validation / config.folds, TEST: config.test / config.folds}
    totals = np.bincount(strata)
    gaps = [
        np.bincount(strata[parts == part], minlength=len(totals)) / (totals * share) - 1 for part, share in due.items()
    ]
    return float(np.abs(np.array(gaps)[:, totals > 0]).max())


def _check(amf: NDArray[np.float64], parts: NDArray[np.str_]) -> None:
    for part in (TRAIN, VALIDATION, TEST):
        present = set(amf[parts == part])
        if len(present) < 2:
            raise TrainingError(
                f"the {part} part has no {'AMF' if 1.0 not in present else 'NMF'}; change data.split.seed."
            )
