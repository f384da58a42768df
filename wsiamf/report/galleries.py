"""Which crops a slide's page shows: hard cases, what is called AMF, and a random sample of everything that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF
from wsiamf.report.wording import counted as with_noun
from wsiamf.statuses import OK
from wsiamf.summary import random_rows

HARD: Final = "hard"
ATYPICAL: Final = "atypical"
RANDOM: Final = "random"

_COLUMNS: Final = ("label", "p_atypical", "hard", "review_rank")

MOST_HARD: Final = 40
MOST_ATYPICAL: Final = 40
MOST_RANDOM: Final = 25
FIRST_FOR_REVIEW: Final = 10
"""Shown in place of hard cases where the model calls nothing hard."""


@dataclass(frozen=True)
class Gallery:
    """A heading and the crops below it.

    Args:
        key: One word for the page's anchors.
        title: The heading.
        text: What was chosen, and of how many.
        rows: Positions in the predictions table, in the order of display.
    """

    key: str
    title: str
    text: str
    rows: tuple[int, ...]


def select_galleries(table: pd.DataFrame, seed: int) -> list[Gallery]:
    """The galleries of a slide.

    Args:
        table: Predictions, ranked for review.
        seed: Of the random sample; it holds the very crops of the contact sheet's.

    Returns:
        Hard cases, AMF and random sample; none where nothing counts.
    """
    counted = np.flatnonzero(table["status"] == OK)
    if not len(counted):
        return []
    rows = table.loc[table["status"] == OK, list(_COLUMNS)]
    return [_for_review(rows, counted), _atypical(rows, counted), _random(counted, seed)]


def _for_review(rows: pd.DataFrame, counted: NDArray[np.intp]) -> Gallery:
    by_rank = np.argsort(rows["review_rank"].to_numpy(dtype=np.int64), kind="stable")
    is_hard = rows["hard"].astype("boolean").fillna(value=False).to_numpy(dtype=bool)
    hard = by_rank[is_hard[by_rank]]
    if not len(hard):
        first = by_rank[:FIRST_FOR_REVIEW]
        text = f"The model calls no figure hard. These {len(first)} come first by the order of review."
        return Gallery(HARD, "First for review", text, _positions(counted, first))
    shown = hard[:MOST_HARD]
    text = (
        f"{_of(len(shown), len(hard))} that experts are likely to disagree on, in the order of review: difficulty, "
        "doubt, and effect on the count."
    )
    return Gallery(HARD, "Hard cases", text, _positions(counted, shown))


def _atypical(rows: pd.DataFrame, counted: NDArray[np.intp]) -> Gallery:
    p = rows["p_atypical"].to_numpy(dtype=np.float64)
    by_p = np.argsort(-p, kind="stable")
    found = by_p[(rows["label"] == AMF).to_numpy(dtype=bool)[by_p]]
    shown = found[:MOST_ATYPICAL]
    text = (
        f"{_of(len(shown), len(found))} called atypical, the most probable first."
        if len(found)
        else "No figure is called atypical."
    )
    return Gallery(ATYPICAL, "Atypical by probability", text, _positions(counted, shown))


def _random(counted: NDArray[np.intp], seed: int) -> Gallery:
    chosen = random_rows(len(counted), MOST_RANDOM, seed)
    text = (
        f"{_of(len(chosen), len(counted))} that count, drawn at random: a look at what the numbers are made of, and at "
        "whether the candidates are mitotic figures at all."
    )
    return Gallery(RANDOM, "Random sample", text, _positions(counted, chosen))


def _positions(counted: NDArray[np.intp], rows: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(counted[rows].tolist())


def _of(shown: int, n: int) -> str:
    figures = with_noun(n, "figure")
    return f"All {figures}" if shown == n else f"{shown:,} of {figures}"
