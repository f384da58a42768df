"""Whose labels they are, where a file names who labelled: a program's are no person's, whatever the format's usually are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from wsiamf.candidates.notes import program_notes, stranger_notes
from wsiamf.candidates.raw import RawPoints

LABELLED_BY: Final = "labelled_by"
"""The column, property or attribute that names who labelled."""
OWN_PREFIX: Final = "wsiamf "
"""What ``wsiamf export`` writes before the model's name, where a format names who labelled."""


def is_own(name: object) -> bool:
    """Whether a person's or a file's name is one that ``wsiamf export`` writes."""
    return isinstance(name, str) and name.startswith(OWN_PREFIX)


def by_programs(raw: RawPoints, names: Sequence[str]) -> RawPoints:
    """The points, those that ``wsiamf export`` labelled told apart from people's, with a note.

    Any other name may be a reader's: such points stay what the format says of them, and a note names whose they are taken for.

    Args:
        raw: N rows.
        names: Who labelled each row; empty where nobody is named.
    """
    programs = [name if is_own(name) else "" for name in names]
    by_person = raw.by_person & np.asarray([not program for program in programs], dtype=np.bool_)
    strangers = [name if person else "" for name, person in zip(names, by_person, strict=True)]
    notes = (*raw.notes, *program_notes(programs, raw.row_word), *stranger_notes(strangers, raw.row_word))
    return replace(raw, by_person=by_person, notes=notes)
