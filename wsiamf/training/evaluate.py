"""``wsiamf evaluate``: a model measured on a labelled set, or the figures of predictions that stand already.

What the model has seen in training is measured too, but never alone: figures without it stand beside.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from wsiamf._version import __version__
from wsiamf.bundle import Bundle
from wsiamf.errors import OutputExistsError
from wsiamf.files import RUN_RECORD, check_replaceable, dump_json, sha256_file, staged_folder, write_text
from wsiamf.inference import Classifier
from wsiamf.spec import ErrorRates, ModelSpec
from wsiamf.training.calibration import Decision
from wsiamf.training.deciding import with_decision
from wsiamf.training.figures.labelled_rows import check_rows
from wsiamf.training.figures.tables import Figures
from wsiamf.training.figures.writing import write_figures
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.measuring import predict_labelled, read_table, uncalibrated, write_table
from wsiamf.training.overlap import same_slide

logger = logging.getLogger(__name__)

SCHEMA: Final = "wsiamf.evaluation/1"
PREDICTIONS: Final = "predictions.csv"
UNSEEN: Final = "unseen"
_GIVEN: Final = "given"


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Args:
        folder: Where it stands.
        threshold: Name of the threshold that was asked for: ``balanced``, ``count`` or ``given``.
        figures: Of all figures.
        unseen: Of those that the model has not seen in training; None where it has seen none, or all.
    """

    folder: Path
    threshold: str
    figures: Figures
    unseen: Figures | None = None

    @property
    def sentences(self) -> list[str]:
        """The main figures, one line a table; what can be trusted first."""
        tables = [("", self.figures)]
        if self.unseen is not None:
            tables = [("not seen in training: ", self.unseen), ("seen ones included (too good): ", self.figures)]
        return [f"{words}{_sentence(figures, self.threshold)}" for words, figures in tables]


def evaluate_bundle(
    bundle: Bundle,
    data: LabelledCrops,
    out: Path,
    *,
    threshold: str | float = "balanced",
    backend: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
) -> Evaluation:
    """Measure a model on labelled crops and write the folder ``out``.

    Args:
        bundle: The model.
        data: Crops that it should not have seen; those that it has are warned of, and left out of a second set of figures.
        out: Holds ``predictions.csv`` (with ``seen``: crop, slide or empty), the figures and, where need be, ``unseen/``.
        threshold: The one of the main line; a number is measured beside ``balanced`` and ``count``, as ``given``.
        backend, device, batch_size, precision: As ``load_model``.
        seed: Of every bootstrap.
        overwrite: Replace an earlier evaluation.

    Raises:
        OutputExistsError: ``out`` stands already, or is not an evaluation's.
    """
    check_replaceable(out, overwrite=overwrite, may_replace=_check_own)
    classifier = Classifier(
        uncalibrated(bundle), backend=backend, device=device, batch_size=batch_size, precision=precision
    )
    table = _decided(predict_labelled(classifier, data), bundle.spec).assign(seen=_seen(bundle.spec, data))
    table = _with_given(table, threshold)
    sets = ", ".join(table["set"].unique())
    facts = {"model": bundle.title, "model_sha256": bundle.sha256, "sets": sets, "threshold": threshold, "seed": seed}
    title = f"{bundle.spec.name} {bundle.spec.version} on {sets}"
    return _write(table, out, title, facts, bundle.spec.error_rates, overwrite=overwrite)


def evaluate_table(
    predictions: Path,
    out: Path,
    *,
    threshold: str | float = "balanced",
    seed: int = 0,
    overwrite: bool = False,
) -> Evaluation:
    """Write the figures of a labelled predictions table, such as a cross-validation's ``out_of_fold.csv``.

    Args:
        predictions: The table.
        out, threshold, seed, overwrite: As ``evaluate_bundle``.

    Raises:
        TrainingError: The table is unreadable or lacks a column.
        OutputExistsError: ``out`` stands already, or is not an evaluation's.
    """
    check_replaceable(out, overwrite=overwrite, may_replace=_check_own)
    table = _with_given(read_table(predictions), threshold)
    facts = {"predictions_sha256": sha256_file(predictions), "threshold": threshold, "seed": seed}
    return _write(table, out, f"Figures of {predictions.name}", facts, (), overwrite=overwrite)


def _decided(table: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """The table under the model's own calibration and thresholds, those of its heads included."""
    decided = with_decision(table, Decision(spec.calibration, spec.hardness_calibration, spec.thresholds))
    heads = zip(spec.experts, spec.thresholds.experts, strict=bool(spec.thresholds.experts))
    return decided.assign(**{f"threshold_{rater}": cut_off for rater, cut_off in heads})


def _with_given(table: pd.DataFrame, threshold: str | float) -> pd.DataFrame:
    return table if isinstance(threshold, str) else table.assign(threshold_given=threshold)


def _seen(spec: ModelSpec, data: LabelledCrops) -> list[str]:
    """``crop`` where the very pixels were trained on, ``slide`` where the slide was (by its name), else nothing."""
    crops = set(spec.trained_on.crops)
    trained = [_set_and_slide(name) for name in spec.trained_on.slides]
    keys = list(zip(data.table["set"], data.table["slide"], strict=True))
    known = {key: isinstance(key[1], str) and any(same_slide(key, one) for one in trained) for key in set(keys)}
    return [
        "crop" if digest in crops else "slide" if known[key] else ""
        for digest, key in zip(data.hashes, keys, strict=True)
    ]


def _set_and_slide(name: str) -> tuple[str, str]:
    """``<set>/<slide>`` of a bundle's training data, in its parts."""
    of_set, _, slide = name.partition("/")
    return of_set, slide


def _write(
    table: pd.DataFrame,
    out: Path,
    title: str,
    facts: dict[str, Any],
    error_rates: Sequence[ErrorRates],
    *,
    overwrite: bool,
) -> Evaluation:
    check_rows(table)
    seed, threshold = int(facts["seed"]), facts["threshold"]
    name = threshold if isinstance(threshold, str) else _GIVEN
    is_seen = (
        np.isin(table["seen"].astype(str), ("crop", "slide")) if "seen" in table else np.zeros(len(table), dtype=bool)
    )
    notes = _seen_notes(table, is_seen)
    unseen = None
    with staged_folder(out, overwrite=overwrite, may_replace=_check_own) as folder:
        write_table(table, folder / PREDICTIONS)
        figures = write_figures(table, folder, title, notes, seed=seed, error_rates=error_rates)
        if is_seen.any() and not is_seen.all():
            only = f"{title}: not seen in training"
            unseen = write_figures(table[~is_seen], folder / UNSEEN, only, seed=seed, error_rates=error_rates)
        outputs = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        record = {"schema": SCHEMA, "wsiamf": __version__, **facts, "n": len(table), "n_seen": int(is_seen.sum())}
        write_text(folder / RUN_RECORD, dump_json(record | {"outputs": outputs}))
    return Evaluation(out, name, figures, unseen)


def _seen_notes(table: pd.DataFrame, is_seen: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[str, ...]:
    """What a reader must know of crops and slides that the model has seen; also logged as a warning."""
    if not is_seen.any():
        return ()
    n_crops, n_more = int((table["seen"] == "crop").sum()), int((table["seen"] == "slide").sum())
    rest = "nothing is left without them" if is_seen.all() else f"figures without them stand in {UNSEEN}/"
    note = (
        f"The model has seen {int(is_seen.sum())} of these {len(table)} figures in training ({n_crops} by their very pixels, "
        f"{n_more} more by the name of their slide): figures that include them are too good; {rest}."
    )
    logger.warning("%s", note[0].lower() + note[1:])
    return (note,)


def _sentence(figures: Figures, threshold: str) -> str:
    row = figures.at(threshold)
    head = f"{row['n']} figures, {row['n_amf']} AMF"
    if row["status"] != "ok":
        return f"{head}; {row['status']}"
    accuracy, auc = (
        f"{row[name]:.3f} (95 % interval {row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"
        for name in ("balanced_accuracy", "auc")
    )
    return f"{head}: balanced accuracy {accuracy} at threshold {threshold} ({row['threshold']:.4g}), AUC {auc}"


def _check_own(folder: Path) -> None:
    """Raise an ``OutputExistsError`` unless a folder holds an evaluation and nothing else."""
    try:
        record = json.loads((folder / RUN_RECORD).read_bytes())
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not str(record.get("schema")).startswith("wsiamf.evaluation/"):
        raise OutputExistsError(f"{folder}: was not written by `wsiamf evaluate`; choose another --out.")
    written = {RUN_RECORD, *record.get("outputs", [])}
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    if foreign := sorted(found - written):
        raise OutputExistsError(
            f"{folder}: holds {foreign[0]}, which wsiamf did not write; move it away, then --overwrite."
        )
