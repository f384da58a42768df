"""Reading and classifying the candidates of one slide: the columns that come from pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.crops import CropBatch, ReadingPlan, crop_hash, iter_crops, sharpness
from wsiamf.errors import SlideReadError
from wsiamf.inference import Classifier
from wsiamf.predictions import expert_columns
from wsiamf.slides import Slide
from wsiamf.statuses import NON_MITOTIC, OK, UNREADABLE

Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None]
"""Called with the number of candidates done and the number in all."""

_N_NAMED = 5
_DECIMALS = 6  # of a probability: more would be noise of the arithmetic


@dataclass(frozen=True)
class Classified:
    """The candidate table with what the pixels say.

    Args:
        table: The table given, with probabilities, ``crop_coverage``, ``sharpness`` and ``unreadable`` rows marked.
        n_trained_on: Crops whose very pixels the model was trained on.
        problems: Why each unreadable candidate could not be read, by candidate id.
    """

    table: pd.DataFrame
    n_trained_on: int
    problems: dict[str, str]


def classify_candidates(
    slide: Slide, table: pd.DataFrame, classifier: Classifier, plan: ReadingPlan, on_progress: OnProgress
) -> Classified:
    """Read and classify every candidate that counts, and those kept as non-mitotic; the others keep nulls.

    Args:
        table: The candidate table; ``x, y`` in level-0 px.
        plan: How the crops are read.
        on_progress: Called after each batch.
    """
    columns = _empty_columns(len(table), len(classifier.spec.experts))
    rows = np.flatnonzero(table["status"].isin([OK, NON_MITOTIC]))
    x, y = table["x"].to_numpy()[rows], table["y"].to_numpy()[rows]
    known = set(classifier.spec.trained_on.crops)
    problems: dict[int, str] = {}
    n_trained_on = done = 0
    at_once = classifier.batch_size * classifier.capacity
    batches = iter_crops(slide, x, y, plan, size_px=classifier.spec.crop_px, batch_size=at_once)
    for batch in batches:
        problems |= {int(rows[row]): why for row, why in zip(batch.rows, batch.problems, strict=True) if why}
        _fill(columns, rows, batch, classifier)
        n_trained_on += sum(crop_hash(crop) in known for crop in batch.crops_NSS3)
        done += len(batch.rows)
        on_progress(done, len(rows))
    filled = table.assign(**columns)
    filled.loc[sorted(problems), "status"] = UNREADABLE
    ids = table["candidate_id"]
    return Classified(filled, n_trained_on, {str(ids[row]): problems[row] for row in sorted(problems)})


def check_unreadable(classified: Classified, max_share: float, slide_name: str) -> str | None:
    """What to tell the user of candidates that could not be read; None where there are none.

    Raises:
        SlideReadError: More than ``max_share`` of the candidates are unreadable; names the first of them.
    """
    problems = classified.problems
    if not problems:
        return None
    named = ", ".join(list(problems)[:_N_NAMED]) + (", ..." if len(problems) > _N_NAMED else "")
    n_read = int((classified.table["crop_coverage"].notna()).sum())
    first = next(iter(problems.values()))
    text = f"{slide_name}: {len(problems)} of {n_read} candidates are unreadable ({named}): {first.rstrip('.')}"
    if len(problems) > max_share * n_read:
        raise SlideReadError(f"{text}. Mend the slide, or allow a larger share with --max-unreadable.")
    return text


def _empty_columns(n: int, n_experts: int) -> dict[str, Floats]:
    names = ["p_atypical", "p_hard", *expert_columns(n_experts), "crop_coverage", "sharpness"]
    return {name: np.full(n, np.nan) for name in names}


def _fill(columns: dict[str, Floats], rows: NDArray[np.intp], batch: CropBatch, classifier: Classifier) -> None:
    columns["crop_coverage"][rows[batch.rows]] = batch.coverage
    readable = batch.readable
    places = rows[batch.rows[readable]]
    crops = batch.crops_NSS3[readable]
    said = classifier.predict(crops)
    columns["p_atypical"][places] = said.p_atypical.round(_DECIMALS)
    columns["p_hard"][places] = said.p_hard.round(_DECIMALS)
    columns["sharpness"][places] = sharpness(crops)
    for k, name in enumerate(expert_columns(len(classifier.spec.experts))):
        columns[name][places] = said.p_experts_NK[:, k].round(_DECIMALS)
