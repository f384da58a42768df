"""Whose labels are votes: AMF and NMF, given by experts or by persons that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from wsiamf.candidates.notes import listed_names
from wsiamf.candidates.programs import is_own
from wsiamf.candidates.raw import RawPoints
from wsiamf.classes import AMF, NMF, canonical_label
from wsiamf.errors import CandidateError, ConfigError

Votes = dict[str, tuple[str | None, ...]]
"""By rater: AMF, NMF or None, one a row."""

_MOST_CELLS: Final = 3_000_000
_ALWAYS_ALLOWED: Final = 50


def check_persons(n_persons: int, n_rows: int, path: Path) -> None:
    """Refuse a file whose persons' labels, one a person and row, are many times what the file itself holds.

    Args:
        n_persons: Persons that the file names.
        n_rows: Its rows, whether those persons labelled them or not.
        path: The points file, for messages.

    Raises:
        CandidateError: There are more than 50 persons, and more than three million pairs of a person and a row.
    """
    if n_persons > _ALWAYS_ALLOWED and n_persons * n_rows > _MOST_CELLS:
        raise CandidateError(
            f"{path}: names {n_persons:,} persons beside {n_rows:,} annotations; of more than {_ALWAYS_ALLOWED} persons "
            f"at most {_MOST_CELLS:,} pairs of both are read: leave out persons, or give each slide a file of its own."
        )


def votes_of(raw: RawPoints, raters: Sequence[str] | None, path: Path) -> Votes:
    """The votes among the labels that persons gave.

    Args:
        raw: One slide's rows.
        raters: Names of the persons whose labels are votes; None takes all where the format's persons are experts, and
            nobody where they may be programs.
        path: The points file, for messages.

    Raises:
        ConfigError: A rater is not in the file.
    """
    labels = raw.person_labels or {}
    unknown = next((name for name in raters or () if name not in labels), None)
    if unknown is not None:
        known = ", ".join(labels) or "nobody"
        raise ConfigError(f"--raters {unknown}: {path.name} has no labels of that name; it has those of {known}.")
    if raters is None:
        raters = list(labels) if raw.persons_are_experts else []
    votes = {name: tuple(_vote(label) for label in labels[name]) for name in raters}
    return {name: given for name, given in votes.items() if any(given)}


def with_persons(raw: RawPoints, raters: Sequence[str] | None) -> RawPoints:
    """The points, those that a person labelled whom the user names among them: they are people's, whatever the file says."""
    named = [labels for name, labels in (raw.person_labels or {}).items() if name in (raters or ())]
    if not named:
        return raw
    labelled = np.asarray([any(words) for words in zip(*named, strict=True)], dtype=np.bool_)
    return replace(raw, by_person=raw.by_person | labelled)


def rater_notes(raw: RawPoints, raters: Sequence[str] | None) -> list[str]:
    """Persons whose AMF and NMF labels are left alone because nobody named them."""
    if raters is not None or raw.persons_are_experts or not raw.person_labels:
        return []
    voters = [name for name, labels in raw.person_labels.items() if any(map(_vote, set(labels))) and not is_own(name)]
    if not voters:
        return []
    return [f"holds AMF and NMF labels of {listed_names(voters)}: name those who are experts with --raters"]


def _vote(label: str | None) -> str | None:
    known = None if label is None else canonical_label(label)
    return known if known in (AMF, NMF) else None
