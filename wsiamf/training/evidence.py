"""What a cross-validation says of a recipe: its folder read back, and the figures that a card takes from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import ValidationError

from wsiamf.config import TrainConfig
from wsiamf.errors import TrainingError, problem_line
from wsiamf.summary.conformal import conformal_sets
from wsiamf.training.card import CONFORMAL_ERROR, Measurement, ThresholdName
from wsiamf.training.conformal import Coverage, coverage, cross_fitted_sets, fit_conformal
from wsiamf.training.crossval import OUT_OF_FOLD, TESTS
from wsiamf.training.deciding import head_raters
from wsiamf.training.figures.metrics import evaluate, hardness_auc
from wsiamf.training.measuring import read_table

_THRESHOLD_NAMES: Final[tuple[ThresholdName, ...]] = ("balanced", "count")
_RECIPE = {"network", "loss", "augment", "fit", "distil", "seed", "definition"}
"""What must be equal for a cross-validation to speak of a model."""


@dataclass(frozen=True)
class Evidence:
    """A finished cross-validation of the recipe that is trained.

    Args:
        title: What its networks were trained on, for the card.
        config: Its configuration.
        out_of_fold: Its labelled predictions, calibrated fold by fold.
        tests: Those of its test sets, one row a crop and fold; None where there are none.
    """

    title: str
    config: TrainConfig
    out_of_fold: pd.DataFrame
    tests: pd.DataFrame | None


def read_evidence(folder: Path, config: TrainConfig) -> Evidence:
    """Read a cross-validation's folder.

    Raises:
        TrainingError: It is not one, it is unfinished, or its recipe is not that of ``config``.
    """
    try:
        measured = TrainConfig.model_validate_json((folder / "config.json").read_bytes())
        names = {fold["name"] for _, fold in pd.read_csv(folder / "folds.csv", dtype=str).iterrows()}
    except (OSError, KeyError) as error:
        raise TrainingError(f"--crossval {folder}: not the folder of a cross-validation: {error}.") from error
    except ValidationError as error:
        raise TrainingError(f"--crossval {folder}: config.json: {problem_line(error.errors())}.") from error
    differing = [key for key in sorted(_RECIPE) if getattr(measured, key) != getattr(config, key)]
    if differing:
        raise TrainingError(f"--crossval {folder}: is of another recipe; it differs in {', '.join(differing)}.")
    table = read_table(folder / OUT_OF_FOLD)
    if (n := table["fold"].nunique()) < len(names):
        raise TrainingError(
            f"--crossval {folder}: {n} of {len(names)} folds are done; run `wsiamf crossval` to its end."
        )
    tests = folder / TESTS
    return Evidence(_title(measured), measured, table, read_table(tests) if tests.exists() else None)


def _title(config: TrainConfig) -> str:
    trained = " and ".join(one.name or one.kind for one in config.data.sets if one.use != "test")
    return f"{config.name}, trained on {trained}"


def check_heads(evidence: Evidence, raters: tuple[str, ...]) -> None:
    """Raise a ``TrainingError`` where the measured networks had other heads than one that these raters teach."""
    heads = head_raters(evidence.out_of_fold)
    if set(heads) != set(raters):
        raise TrainingError(
            f"the first --crossval has heads {', '.join(heads)}, but the training sets give {', '.join(raters)}: calibrate "
            "with a cross-validation on the same sets."
        )


def measure_evidence(evidence: Evidence) -> list[Measurement]:
    """The rows of the card's table that a cross-validation gives."""
    measured = measure_sets(evidence.title, evidence.out_of_fold)
    return measured if evidence.tests is None else measured + measure_sets(evidence.title, evidence.tests)


def measure_sets(model: str, table: pd.DataFrame) -> list[Measurement]:
    """Figures of each set at each threshold; of several networks on the same crops, the mean network's."""
    measured = []
    for name, rows in table.groupby("set", sort=False):
        for threshold in _THRESHOLD_NAMES:
            figures = evaluate(
                rows["p_atypical"].to_numpy(dtype=float),
                rows["amf"].to_numpy(dtype=float),
                rows["group"].to_numpy(dtype=str),
                rows[f"threshold_{threshold}"].to_numpy(dtype=float),
            )
            crops = rows.drop_duplicates("file")
            figures = replace(figures, n=len(crops), n_amf=int(crops["amf"].sum()))
            hardness = hardness_auc(rows["p_hard"].to_numpy(dtype=float), rows["hard"].to_numpy(dtype=float))
            measured.append(Measurement(model, str(name), threshold, figures, hardness))
    return measured


def conformal_coverage(evidence: Evidence) -> Iterator[tuple[str, tuple[Coverage, ...]]]:
    """How the "cannot tell" sets fared, a data set at a time, by cut-offs of the other folds or, on test sets, of all."""
    table = evidence.out_of_fold
    p, amf = table["p_atypical"].to_numpy(dtype=float), table["amf"].to_numpy(dtype=float)
    said = pd.Series(cross_fitted_sets(p, amf, table["fold"].to_numpy(dtype=int), CONFORMAL_ERROR))
    yield from _coverage_by_set(evidence, table, said)
    if evidence.tests is not None:
        fitted = fit_conformal(p, amf)
        judged = conformal_sets(evidence.tests["p_atypical"].to_numpy(dtype=float), fitted, CONFORMAL_ERROR)
        yield from _coverage_by_set(evidence, evidence.tests, pd.Series(judged))


def _coverage_by_set(
    evidence: Evidence, table: pd.DataFrame, said: pd.Series[str]
) -> Iterator[tuple[str, tuple[Coverage, ...]]]:
    for name, rows in table.groupby("set", sort=False):
        amf, groups = rows["amf"].to_numpy(dtype=float), rows["group"].to_numpy(dtype=str)
        yield f"{name} ({evidence.title})", coverage(said[rows.index].to_numpy(dtype=str), amf, groups)
