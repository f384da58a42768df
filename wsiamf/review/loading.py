"""A review as it stands: results, figures, answers of all files, labels, worklist."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wsiamf.errors import ReviewError
from wsiamf.export.results import SlideResult, find_results
from wsiamf.review.answers import Decision
from wsiamf.review.decisions import read_decisions
from wsiamf.review.figures import empty_slides, load_figures
from wsiamf.review.places import ReviewPlaces, check_out
from wsiamf.review.settling import Settled, settle
from wsiamf.review.standing import merge, standing
from wsiamf.review.worklist import Worklist
from wsiamf.review.worklist_files import read_worklist

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Review:
    """Everything that the commands after a review start from.

    Args:
        places: Where its files are.
        results: The slides.
        figures: Of ``figures.load_figures``.
        decisions: The answers that stand, of all readers.
        settled: The labels that they come to.
        worklist: None where none was made.
    """

    places: ReviewPlaces
    results: list[SlideResult]
    figures: pd.DataFrame
    decisions: list[Decision]
    settled: Settled
    worklist: Worklist | None


def load_review(
    out: Path,
    *,
    decisions: Sequence[Path] = (),
    readers: Collection[str] | None = None,
    adjudicator: str | None = None,
) -> Review:
    """Read results and answers of OUT and settle the labels.

    Args:
        out: The OUT of ``screen`` or ``cohort``.
        decisions: Decisions files to merge, in place of OUT's own.
        readers: Whose answers count; None for everybody's.
        adjudicator: Who decides where the others have no majority; she need not have answered yet, which
            is warned of, since a misspelt name looks the same.

    Raises:
        ReviewError: There are no decisions, a reader has given none, or a file cannot be used.
        ExportError: There are no results.
    """
    places, results = check_out(out), find_results(out)
    figures = load_figures(results)
    files = list(decisions) or [places.decisions]
    if not decisions and not places.decisions.is_file():
        raise ReviewError(f"{places.decisions}: nobody has answered yet; start with wsiamf review {out.name}.")
    read = [read_decisions(path) for path in files]
    # one file stays in its own order, as the live counts take it: clocks may be put back
    answers = standing(read[0] if len(read) == 1 else merge(read))
    _check_readers(answers, list(readers or ()), adjudicator)
    settled = settle(
        figures, answers, readers=readers, adjudicator=adjudicator, empty_slides=empty_slides(results, figures)
    )
    worklist = read_worklist(out) if places.worklist.is_file() else None
    return Review(places, results, figures, answers, settled, worklist)


def _check_readers(decisions: Sequence[Decision], named: Sequence[str], adjudicator: str | None) -> None:
    known = sorted({one.reader for one in decisions})
    there = ", ".join(known) or "nobody"
    for name in named:
        if name not in known:
            raise ReviewError(f"reader {name!r}: has given no answer; there are answers of {there}.")
    if adjudicator is not None and adjudicator not in known:
        _log.warning("%s, who adjudicates, has not answered yet; there are answers of %s", adjudicator, there)
