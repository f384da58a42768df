"""What the user is told about a points file, one sentence each, without paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from wsiamf.candidates.raw import RawPoints
from wsiamf.classes import canonical_label
from wsiamf.wording import counted, shown

_LISTED = 3


def listed_faults(raw: RawPoints, faults: Mapping[int, str]) -> str:
    """The first few rows that cannot be used, with reasons."""
    first = sorted(faults)[:_LISTED]
    text = "; ".join(f"{raw.row_word} {raw.rows[index]}: {faults[index]}" for index in first)
    return text if len(faults) <= _LISTED else f"{text}; ..."


def listed_names(names: Sequence[str]) -> str:
    """The first few names that a file holds, quoted."""
    return ", ".join(map(shown, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")


def program_notes(programs: Sequence[str], row_word: str) -> list[str]:
    """Rows whose label a file says to be a program's, and which.

    Args:
        programs: One a row; empty for a person's label.
        row_word: What the file calls a row.
    """
    found = _labelled_by(programs, row_word)
    return [f"{found}, a program: no person's label, and nobody's vote"] if found else []


def stranger_notes(names: Sequence[str], row_word: str) -> list[str]:
    """Rows whose label a file says to be of somebody unknown, and whose.

    Args:
        names: One a row; empty where nobody is named.
        row_word: What the file calls a row.
    """
    found = _labelled_by(names, row_word)
    return [f"{found}, taken for a person's: the name of a program must begin with 'wsiamf '"] if found else []


def _labelled_by(names: Sequence[str], row_word: str) -> str:
    """``3 rows labelled by 'A', 'B'``; empty where nobody is named."""
    named = Counter(name for name in names if name)
    if not named:
        return ""
    names = listed_names([name for name, _ in named.most_common()])
    return f"{counted(named.total(), row_word)} labelled by {names}"


def score_notes(raw: RawPoints, min_score: float | None) -> list[str]:
    """The scores' range where nobody said which of them count, and rows without a score."""
    if raw.score is None or len(raw) == 0:
        return []
    given = raw.score[~np.isnan(raw.score)]
    notes = []
    if min_score is None and len(given):
        notes.append(
            f"detector scores run from {given.min():g} to {given.max():g} and every score counts: "
            "set the least score with --min-score if the file holds weak detections"
        )
    if n_missing := len(raw) - len(given):
        notes.append(f"{counted(n_missing, raw.row_word)} without a score counted whatever the least score")
    return notes


def label_notes(labels: Sequence[str | None]) -> list[str]:
    """Class words that name no known class; their rows count."""
    unknown = Counter(label for label in labels if label is not None and canonical_label(label) is None)
    if not unknown:
        return []
    words = ", ".join(f"{shown(word)} ({n:,})" for word, n in unknown.most_common(_LISTED))
    more = ", ..." if len(unknown) > _LISTED else ""
    return [f"labels that wsiamf does not know count as candidates: {words}{more}"]
