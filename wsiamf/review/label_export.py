"""``wsiamf review export``: a folder of crops and their labels, which ``wsiamf train`` and ``wsiamf calibrate`` read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from PIL import Image

from wsiamf.addresses import Address
from wsiamf.crops import iter_crops, plan_reading
from wsiamf.errors import OutputExistsError, ReviewError
from wsiamf.export.results import SlideResult
from wsiamf.files import atomic_file, dump_json, staged_folder, write_text
from wsiamf.review.label_rows import VOTE, label_rows, readers_in
from wsiamf.review.loading import Review
from wsiamf.slides import open_slide
from wsiamf.slides.finding import find_slide
from wsiamf.spec import ModelSpec

LABELS: Final = "labels.csv"
RECORD: Final = "review_labels.json"
SCHEMA: Final = "wsiamf.review-labels/1"
_OWN: Final = ("kind", "candidate_id", "uuid", "readers", "n_readers", "blinded", "stratum", "inclusion_probability")
_MIDOG_EXPERTS: Final = 3
_MPP: Final = float(ModelSpec.model_fields["mpp"].default)
_TOLERANCE: Final = float(ModelSpec.model_fields["mpp_tolerance"].default)

Layout = Callable[[pd.DataFrame], tuple[pd.DataFrame, list[str]]]
"""Labels to the table of a format and each crop's file."""


@dataclass(frozen=True)
class ExportedLabels:
    """What was written.

    Args:
        table: The CSV of labels.
        n: Number of figures.
        n_amf: Those of them that are AMF.
    """

    table: Path
    n: int
    n_amf: int


def export_labels(
    review: Review,
    to: str,
    target: Path,
    *,
    random_only: bool = False,
    slides: Sequence[Path] = (),
    overwrite: bool = False,
) -> ExportedLabels:
    """Write a folder of 128 px crops at 0.25 um/px and ``labels.csv``.

    Args:
        review: Of ``loading.load_review``.
        to: ``manifest`` (``kind: manifest`` of a training configuration, and ``wsiamf calibrate --labels``) or ``midog25``
            (``kind: midog25``: the columns of MIDOG 2025 track 2, three readers at most).
        target: The new folder.
        random_only: As ``label_rows.label_rows`` has it.
        slides: Folders in which slides that were moved are looked for.
        overwrite: Replace a folder that this wrote before.

    Raises:
        WsiamfError: There are no labels, a slide is gone or cannot be read, or the folder cannot be written.
    """
    labels = label_rows(review, random_only=random_only)
    names = {result.slide_id: result.slide_name for result in review.results}
    labels.insert(0, "slide", labels["slide_id"].map(names))
    table, files = _LAYOUTS[to](labels)
    by_slide = dict(list(labels.groupby("slide_id")))
    places = [(result, _place(result, slides)) for result in review.results if result.slide_id in by_slide]
    with staged_folder(target, overwrite=overwrite, may_replace=_check_own) as staged:
        for result, place in places:
            own = by_slide[result.slide_id]
            _write_crops(staged, result, place, own, [files[row] for row in own.index])
        with atomic_file(staged / LABELS) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        record = {
            "schema": SCHEMA,
            "format": to,
            "n": len(labels),
            "random_only": random_only,
            "mpp": _MPP,
            "weight": "1 / inclusion probability, 1 for figures that were not drawn, over their mean",
        }
        write_text(staged / RECORD, dump_json(record))
    return ExportedLabels(target / LABELS, len(labels), int((labels["label"] == "AMF").sum()))


def _place(result: SlideResult, slides: Sequence[Path]) -> Address:
    return find_slide(result.slide_name, result.fingerprint, result.slide_path, slides)


def _write_crops(folder: Path, result: SlideResult, path: Address, labels: pd.DataFrame, files: Sequence[str]) -> None:
    with open_slide(path, mpp=result.frame.mpp) as slide:
        plan = plan_reading(result.frame.mpp, slide.level_downsamples, target_mpp=_MPP, tolerance=_TOLERANCE)
        with closing(iter_crops(slide, labels["x"].to_numpy(), labels["y"].to_numpy(), plan)) as batches:
            for batch in batches:
                for row, crop, problem in zip(batch.rows, batch.crops_NSS3, batch.problems, strict=True):
                    if problem is not None:
                        raise ReviewError(f"{path}: the crop of {labels['uuid'].iloc[row]} cannot be read: {problem}.")
                    file = folder / files[row]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(crop).save(file, format="PNG")


def _manifest(labels: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    files = [f"crops/{slide}/{uuid}.png" for slide, uuid in zip(labels["slide_id"], labels["uuid"], strict=True)]
    votes = [f"{VOTE}{reader}" for reader in readers_in(labels)]
    columns: dict[str, Any] = {
        "file": files,
        "label": labels["label"],
        "slide": labels["slide"],
        "case": labels["case_id"],
    }
    columns |= {name: labels[name].round(3) for name in ("x", "y")}
    columns |= {name: labels[name] for name in ("weight", *_OWN, *votes)}
    return pd.DataFrame(columns), files


def _midog25(labels: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    readers = readers_in(labels)
    if len(readers) > _MIDOG_EXPERTS:
        raise ReviewError(
            f"--format midog25: has {_MIDOG_EXPERTS} experts, but {len(readers)} readers voted ({', '.join(readers)}); choose "
            "with --reader, or export a manifest."
        )
    files = [f"{number}.png" for number in range(1, len(labels) + 1)]
    columns: dict[str, Any] = {
        "image_id": files,
        "filename": labels["slide"],
        "coordinateX": labels["x"].round(2),
        "coordinateY": labels["y"].round(2),
        **dict.fromkeys(("Tumor", "Scanner", "Origin", "Species")),
    }
    for number in range(_MIDOG_EXPERTS):
        voted = labels[f"{VOTE}{readers[number]}"] if number < len(readers) else None
        columns[f"expert{number + 1}"] = voted
    columns |= {"majority": labels["label"], **{name: labels[name] for name in (*_OWN, "weight")}}
    columns["expert_names"] = "; ".join(readers)
    return pd.DataFrame(columns, index=labels.index), files


_LAYOUTS: Final[dict[str, Layout]] = {"manifest": _manifest, "midog25": _midog25}


def _check_own(folder: Path) -> None:
    if not (folder / RECORD).is_file():
        raise OutputExistsError(
            f"{folder}: was not written by wsiamf review export; move it away or choose another --to."
        )
