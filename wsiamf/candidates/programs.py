"""Labels that a program gave, where the file says so: such points are no person's, whatever the format's usually are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from wsiamf.candidates.notes import program_notes
from wsiamf.candidates.raw import RawPoints

OWN_PREFIX: Final = "wsiamf "
"""What ``wsiamf export`` writes before the model's name, where a format names who labelled."""


def is_own(name: object) -> bool:
    """Whether a person's or a file's name is one that ``wsiamf export`` writes."""
    return isinstance(name, str) and name.startswith(OWN_PREFIX)


def by_programs(raw: RawPoints, programs: Sequence[str]) -> RawPoints:
    """The points, those of programs told apart from people's, with a note.

    Args:
        raw: N rows.
        programs: The program that labelled each row; empty for none.
    """
    by_person = raw.by_person & np.asarray([not program for program in programs], dtype=np.bool_)
    return replace(raw, by_person=by_person, notes=(*raw.notes, *program_notes(programs, raw.row_word)))
