"""``wsiamf calibrate``: a model's calibration, thresholds and error rates refitted on a laboratory's own labels.

The weights stay as they are. Everything that is reported is out of fold: the decision on a figure was fitted without its case
or slide. What is stored was fitted on all figures.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wsiamf._version import __version__
from wsiamf.bundle import LICENSES, WEIGHTS, Bundle, open_bundle, write_bundle
from wsiamf.crops import crop_hash
from wsiamf.errors import OutputExistsError, TrainingError
from wsiamf.files import check_replaceable, dump_json, staged_folder, write_text
from wsiamf.inference import Classifier
from wsiamf.spec import ModelSpec
from wsiamf.training.deciding import with_decision
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.measuring import describe_training, predict_labelled, uncalibrated
from wsiamf.training.recalibration.before_after import Change, card_section, compare, verdict
from wsiamf.training.recalibration.refit import MIN_OF_A_CLASS, cross_fitted, decision_of, named_spec, refitted_spec
from wsiamf.training.recalibration.representative import check_representative

logger = logging.getLogger(__name__)

MIN_FIGURES: Final = 100
RECORD: Final = "calibration.json"
ERROR_RATES: Final = "error_rates.json"
_SCHEMA: Final = "wsiamf.calibration/1"


@dataclass(frozen=True)
class Recalibrated:
    """A recalibrated model and what that changed.

    Args:
        bundle: The new model.
        changes: Figures of the parent and, out of fold, of the new decision, on the same labels.
    """

    bundle: Bundle
    changes: tuple[Change, ...]

    @property
    def verdict(self) -> str:
        """What became of the Brier score, in a sentence."""
        return verdict(self.changes)


def calibrate_bundle(
    parent: Bundle,
    data: LabelledCrops,
    out: Path,
    *,
    marked_hard: Mapping[str, float] | None = None,
    name: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
) -> Recalibrated:
    """Refit a model's decision on labelled figures and write it as a bundle of its own.

    Args:
        parent: The model.
        data: At least 100 figures, ten or more of each class, drawn as a slide's figures come.
        out: The new bundle's folder; ``error_rates.json`` and ``calibration.json`` stand in it too.
        marked_hard: What ``representative.picked_as_hard`` says of the labels' file.
        name: The new model's name; left out: the parent's and ``-recalibrated``.
        backend, device, batch_size, precision: As ``load_model``.
        seed: Of folds and bootstraps.
        overwrite: Replace an earlier bundle of this command's.

    Raises:
        TrainingError: Too few figures or slides, or hard cases only.
        OutputExistsError: ``out`` stands already.
    """
    spec = named_spec(parent.spec, name or f"{parent.spec.name}-recalibrated")
    check_replaceable(out, overwrite=overwrite, may_replace=_check_own)
    check_figures(data)
    n_seen = _warn_seen(spec, data)
    classifier = Classifier(
        uncalibrated(parent), backend=backend, device=device, batch_size=batch_size, precision=precision
    )
    table = predict_labelled(classifier, data)
    before = with_decision(table, decision_of(spec))
    share_hard = check_representative(before, spec, marked_hard or {})
    after = cross_fitted(table, spec, seed)
    changes = compare(before, after, seed=seed)
    spec = refitted_spec(spec, table, after, describe_training(data), seed).model_copy(update={"parent": parent.sha256})
    record = _record(parent, spec, after, changes) | {"n_seen": n_seen, "share_hard": round(share_hard, 4)}
    with staged_folder(out, overwrite=overwrite, may_replace=_check_own) as folder:
        _write(folder, parent, spec, f"{parent.read_card().rstrip()}\n\n{card_section(parent, spec, after, changes)}")
        write_text(folder / RECORD, dump_json(record))
    return Recalibrated(open_bundle(out), changes)


def check_figures(data: LabelledCrops) -> None:
    """Raise a ``TrainingError`` where the labels are too few, of one class or of one slide; says how many there are."""
    n, n_amf = len(data), int(data.amf.sum())
    if n < MIN_FIGURES or min(n_amf, n - n_amf) < MIN_OF_A_CLASS:
        raise TrainingError(
            f"calibration needs {MIN_FIGURES} or more labelled figures, {MIN_OF_A_CLASS} or more of each class; there are {n}: "
            f"{n_amf} AMF and {n - n_amf} NMF."
        )
    for name, of_class in (("AMF", data.amf == 1), ("NMF", data.amf == 0)):
        if data.groups[of_class].nunique() < 2:
            raise TrainingError(
                f"all {name} are of one slide or case ({data.groups[of_class].iloc[0]}), but error rates need slides "
                "that the calibration did not see: label figures of more slides, or name them in the column slide."
            )
    if data.table[["slide", "case"]].isna().all(axis=None):
        logger.warning(
            "no slide or case is named: figures of one slide count as independent, and the intervals are too narrow."
        )


def _warn_seen(spec: ModelSpec, data: LabelledCrops) -> int:
    """How many of the crops the model has seen in training; says so where there are any."""
    known = set(spec.trained_on.crops)
    n_seen = sum(crop_hash(crop) in known for crop in data.crops_NSS3)
    if n_seen:
        logger.warning(
            "the model was trained on %d of the %d labelled crops: on these it is surer and better than on yours, and so will "
            "calibration and error rates be; leave them out.",
            n_seen,
            len(data),
        )
    named = sorted(
        {name for slide in data.table["slide"].dropna().unique() for name in spec.trained_on.slides_named(slide)}
    )
    if named:
        logger.warning(
            "the model was trained on %d slide(s) of these names (%s); if they are the same, leave them out.",
            len(named),
            named[0],
        )
    return n_seen


def _write(folder: Path, parent: Bundle, spec: ModelSpec, card: str) -> None:
    """The bundle, and its error rates at ``count`` as ``screen --error-rates`` reads them."""
    licenses = (parent.folder / LICENSES).read_text("utf-8")
    write_bundle(folder, (parent.folder / WEIGHTS).read_bytes(), spec, card=card, licenses=licenses)
    rates = next(one for one in spec.error_rates if one.threshold == "count")
    write_text(folder / ERROR_RATES, dump_json(rates.model_dump(mode="json", exclude_none=True)))


def _record(parent: Bundle, spec: ModelSpec, after: pd.DataFrame, changes: tuple[Change, ...]) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "wsiamf": __version__,
        "parent": parent.title,
        "parent_sha256": parent.sha256,
        "name": spec.name,
        "domain": str(after["set"].iloc[0]),
        "n": len(after),
        "n_amf": int(after["amf"].sum()),
        "n_groups": int(after["group"].nunique()),
        "verdict": verdict(changes),
        "changes": [one.to_json() for one in changes],
    }


def _check_own(folder: Path) -> None:
    """Raise an ``OutputExistsError`` unless the folder was written by this command."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not str(record.get("schema")).startswith("wsiamf.calibration/"):
        raise OutputExistsError(f"{folder}: was not written by `wsiamf calibrate`; choose another --out.")
