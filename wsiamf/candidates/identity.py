"""Candidate ids: the file's own, unique and as text, else the row numbers."""

from __future__ import annotations

from pathlib import Path

from wsiamf.candidates.raw import RawPoints
from wsiamf.errors import CandidateError
from wsiamf.wording import shown


def candidate_ids(raw: RawPoints, path: Path) -> list[str]:
    """One id a row; row numbers from 1 where the file has no ids.

    Args:
        raw: One slide's rows.
        path: The points file, for messages.

    Raises:
        CandidateError: Two rows have the same id, or some rows have one and some do not.
    """
    rows = raw.rows.tolist()
    if raw.ids is None or not any(raw.ids):
        return [str(row) for row in rows]
    first_row: dict[str, int] = {}
    for row, name in zip(rows, raw.ids, strict=True):
        if not name:
            raise CandidateError(
                f"{path}: {raw.row_word} {row} has no id, others have; give every {raw.row_word} one, or none."
            )
        if name in first_row:
            raise CandidateError(
                f"{path}: {raw.row_word}s {first_row[name]} and {row} have the same id {shown(name)}; "
                "ids must be unique."
            )
        first_row[name] = row
    return list(raw.ids)
