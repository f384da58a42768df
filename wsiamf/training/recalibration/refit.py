"""A model's decision refitted on labelled predictions that it was not trained on, and its error rates out of fold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import expit
from sklearn.model_selection import StratifiedGroupKFold

from wsiamf.errors import ConfigError, TrainingError, problem_line
from wsiamf.inference.classifier import safe_logit
from wsiamf.spec import ErrorRates, ModelSpec, TrainingData
from wsiamf.training.calibration import Decision
from wsiamf.training.conformal import fit_conformal
from wsiamf.training.deciding import decide, with_cross_fitted

MIN_OF_A_CLASS: Final = 10
_FOLDS: Final = 5
_THRESHOLDS: Final[tuple[Literal["balanced", "count"], ...]] = ("balanced", "count")


def decision_of(spec: ModelSpec) -> Decision:
    """What a model decides with."""
    return Decision(spec.calibration, spec.hardness_calibration, spec.thresholds)


def cross_fitted(table: pd.DataFrame, spec: ModelSpec, seed: int) -> pd.DataFrame:
    """Each figure under a decision that was fitted without its group (slide or case).

    Args:
        table: Uncalibrated labelled predictions.
        spec: The model that made them.
        seed: Of the folds, and of the bootstrap that thresholds are averaged over.

    Returns:
        The table with ``fold``, ``p_atypical`` and the cut-offs; without difficulty.
    """
    # Difficulty is not reported, and the raters of a fold may agree on everything: it is left out here.
    folded = table.assign(fold=_folds(table, seed), z_hard=np.nan)
    return with_cross_fitted(folded, spec.experts, seed)


def _folds(table: pd.DataFrame, seed: int) -> NDArray[np.int_]:
    """Fold of each figure from 1 on; no group in two, and neither class missing from the rest of any."""
    amf, groups = _floats(table, "amf"), table["group"].to_numpy(dtype=str)
    per_class = [len(np.unique(groups[amf == truth])) for truth in (0, 1)]
    fold_N = np.zeros(len(table), dtype=int)
    splitter = StratifiedGroupKFold(min(_FOLDS, *per_class), shuffle=True, random_state=seed)
    for number, (rest, held_out) in enumerate(splitter.split(amf, amf, groups), start=1):
        if len(np.unique(amf[rest])) < 2:
            raise TrainingError(
                "the slides or cases cannot be cut into folds with both classes; label figures of more slides."
            )
        fold_N[held_out] = number
    return fold_N


def named_spec(spec: ModelSpec, name: str) -> ModelSpec:
    """The spec under another name.

    Raises:
        ConfigError: It is no name for a model.
    """
    try:
        return ModelSpec.model_validate(spec.model_dump(by_alias=True) | {"name": name})
    except ValidationError as error:
        raise ConfigError(f"--name {name}: {problem_line(error.errors())}.") from error


def refitted_spec(
    spec: ModelSpec, table: pd.DataFrame, after: pd.DataFrame, seen: TrainingData, seed: int
) -> ModelSpec:
    """The spec with what was fitted on all figures, and the error rates and quantiles that were measured out of fold.

    Args:
        spec: The parent's, under the new model's name.
        table: Uncalibrated labelled predictions.
        after: The same, cross-fitted.
        seen: The labelled figures, which a model may not be measured on from now on.
        seed: Of the bootstrap that thresholds are averaged over.
    """
    decision = _with_unknown_kept(decide(_with_known_difficulty(table), spec.experts, seed), spec, table)
    return spec.model_copy(
        update={
            "calibration": decision.calibration,
            "hardness_calibration": decision.hardness_calibration,
            "thresholds": decision.thresholds,
            "provisional": False,
            "error_rates": tuple(_error_rates(spec.name, after)),
            "conformal": fit_conformal(_floats(after, "p_atypical"), _floats(after, "amf")),
            "trained_on": _together(spec.trained_on, seen),
        }
    )


def _with_known_difficulty(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the hardness head's word where too few figures are known to be hard, or easy."""
    counts = table["hard"].value_counts()
    return table if min(counts.get(0.0, 0), counts.get(1.0, 0)) >= MIN_OF_A_CLASS else table.assign(z_hard=np.nan)


def _with_unknown_kept(decision: Decision, spec: ModelSpec, table: pd.DataFrame) -> Decision:
    """The decision with the parent's for what the labels do not tell: difficulty, and how the model's own raters lean."""
    thresholds = decision.thresholds
    known = [table.get(f"vote_{rater}", pd.Series(dtype=float)).nunique() == 2 for rater in spec.experts]
    moved = _moved_experts(spec, decision)
    experts = tuple(np.where(known, thresholds.experts, moved).tolist()) if moved else thresholds.experts
    thresholds = thresholds.model_copy(update={"experts": experts})
    if not _with_known_difficulty(table)["z_hard"].isna().all():
        return replace(decision, thresholds=thresholds)
    thresholds = thresholds.model_copy(update={"hard": spec.thresholds.hard})
    return replace(decision, hardness_calibration=spec.hardness_calibration, thresholds=thresholds)


def _moved_experts(spec: ModelSpec, decision: Decision) -> list[float]:
    """The parent's cut-offs of the heads, moved in logits by as much as ``count`` moved; empty where the parent has none."""
    step = _count_logit(decision) - _count_logit(decision_of(spec))
    return [round(float(expit(safe_logit(np.array(cut)) + step)), 4) for cut in spec.thresholds.experts]


def _count_logit(decision: Decision) -> float:
    """The ``count`` cut-off in terms of z."""
    return float((safe_logit(np.array(decision.thresholds.count)) - decision.calibration.b) / decision.calibration.a)


def _error_rates(model: str, after: pd.DataFrame) -> Iterator[ErrorRates]:
    p, amf = _floats(after, "p_atypical"), _floats(after, "amf")
    for threshold in _THRESHOLDS:
        cut_off = _floats(after, f"threshold_{threshold}")
        called = p >= cut_off
        yield ErrorRates(
            domain=str(after["set"].iloc[0]),
            threshold=threshold,
            model=model,
            cut_off=round(float(cut_off.mean()), 4),
            n_amf=int(amf.sum()),
            n_nmf=int((1 - amf).sum()),
            sensitivity=round(float(called[amf == 1].mean()), 4),
            specificity=round(float((~called)[amf == 0].mean()), 4),
        )


def _together(old: TrainingData, new: TrainingData) -> TrainingData:
    return TrainingData(
        sets=tuple(dict.fromkeys([*old.sets, *new.sets])),
        slides=tuple(sorted({*old.slides, *new.slides})),
        crops=tuple(sorted({*old.crops, *new.crops})),
    )


def _floats(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return table[column].to_numpy(dtype=np.float64)
