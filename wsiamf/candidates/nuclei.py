"""Programs that classify every nucleus of a slide: only their mitotic figures are candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.raw import RawPoints
from wsiamf.classes import canonical_label
from wsiamf.errors import CandidateError
from wsiamf.wording import counted, shown

_LISTED: Final = 3


def figures_among(raw: RawPoints, classes: Iterable[str], path: Path) -> RawPoints:
    """The rows whose class has to do with mitosis, and those at fault that have none; a note counts the others.

    Args:
        raw: All nuclei; one whose class cannot be read is at fault.
        classes: All classes that the program can give.
        path: The points file, for messages.

    Raises:
        CandidateError: None of the classes has to do with mitosis.
    """
    classes = sorted(set(classes))
    if not any(map(canonical_label, classes)):
        raise CandidateError(
            f"{path}: none of its classes is mitotic figures ({', '.join(map(shown, classes[:10])) or 'it has none'}); "
            "run a model that detects them."
        )
    known = {label: label is None or canonical_label(label) is not None for label in set(raw.labels)}
    return without_cells(raw, np.asarray([not known[label] for label in raw.labels], dtype=np.bool_))


def without_cells(raw: RawPoints, is_other: NDArray[np.bool_]) -> RawPoints:
    """Without the rows of classes that have nothing to do with mitosis; a note counts them.

    Args:
        raw: N rows.
        is_other: (N,) which have such a class.
    """
    if not is_other.any():
        return raw
    others = Counter(raw.labels[index] for index in np.flatnonzero(is_other).tolist())
    words = ", ".join(f"{shown(word)} ({n:,})" for word, n in others.most_common(_LISTED))
    more = ", ..." if len(others) > _LISTED else ""
    note = f"{counted(int(is_other.sum()), 'cell')} of other classes left out: {words}{more}"
    return replace(raw.take(np.flatnonzero(~is_other)), notes=(*raw.notes, note))
