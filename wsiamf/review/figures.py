"""All figures that a review is about: the rows that count of every slide's table, in one table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from wsiamf.errors import ReviewError
from wsiamf.export.results import SlideResult
from wsiamf.statuses import OK
from wsiamf.summary.ranking import expert_columns_in, review_score

_COHORT_TABLE: Final = "cohort.csv"
_OF_SLIDE: Final = ("slide_id", "fingerprint", "case_id")
_BEFORE: Final = ("uuid", "candidate_id", "x", "y", "x_um", "y_um", "score", "p_atypical", "p_hard")
_AFTER: Final = ("label", "hard", "review_rank", "review_reason", "in_hotspot")


def load_figures(results: Sequence[SlideResult]) -> pd.DataFrame:
    """Every row with status ok of every slide, slide by slide, in the order of their tables.

    Args:
        results: The slides (``export.results.find_results``).

    Returns:
        ``slide_id``, ``fingerprint``, ``case_id`` (from ``cohort.csv`` beside the slides' folders; None where there is none
        or it names none), ``uuid`` (unique within a slide_id), ``candidate_id``, ``x, y`` (centre, level-0 px), ``x_um,
        y_um``, ``score``, ``p_atypical``, ``p_hard``, ``p_atypical_expert_1..K``, ``label``, ``hard``, ``review_rank``,
        ``review_reason``, ``in_hotspot``, ``review_score`` (what the ranks come from, ``summary.ranking``); index from 0.

    Raises:
        ReviewError: ``cohort.csv`` cannot be read.
        OutputError: A slide's table cannot be read.
    """
    cases = {folder: _cases(folder) for folder in {result.folder.absolute().parent for result in results}}
    parts = [_figures(result, cases[result.folder.absolute().parent].get(result.slide_id)) for result in results]
    if not parts:
        raise ReviewError("no results to review; run wsiamf screen or cohort first.")
    return pd.concat(parts, ignore_index=True)


def empty_slides(results: Sequence[SlideResult], figures: pd.DataFrame) -> list[tuple[str, str]]:
    """Folder and fingerprint of the slides without a figure in the table; readers may add figures there."""
    with_figures = set(figures["slide_id"].unique())
    return [(one.slide_id, one.fingerprint) for one in results if one.slide_id not in with_figures]


def _figures(result: SlideResult, case_id: str | None) -> pd.DataFrame:
    table = result.table()
    counted = table[(table["status"] == OK).to_numpy(dtype=bool)]
    names = [*_BEFORE, *expert_columns_in(table), *_AFTER]
    of_slide = dict(zip(_OF_SLIDE, (result.slide_id, result.fingerprint, case_id), strict=True))
    heads = {
        name: pd.Series([value] * len(counted), index=counted.index, dtype=object) for name, value in of_slide.items()
    }
    score = review_score(table, threshold=float(result.summary["thresholds"]["p_atypical"]))
    return pd.DataFrame({**heads, **{name: _typed(counted[name]) for name in names}, "review_score": score})


def _typed(column: pd.Series) -> pd.Series:
    """Columns of one type whatever a slide's rows hold, so that slides go together: a column all null is of no type."""
    if column.name in ("uuid", "candidate_id", "label", "review_reason"):
        return column.astype(object).where(column.notna(), None)
    if column.name in ("hard", "in_hotspot"):
        return column.astype("boolean")
    if column.name == "review_rank":
        return pd.to_numeric(column).astype("Int64")
    return pd.to_numeric(column).astype(np.float64)


def _cases(out: Path) -> dict[str, str]:
    """Case of each slide as the cohort's table has it; slides without one are left out."""
    path = out / _COHORT_TABLE
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {row["slide_id"]: row["case_id"] for row in csv.DictReader(stream) if row["case_id"]}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise ReviewError(f"{path}: cannot be read ({error}); collect the cohort again.") from error
