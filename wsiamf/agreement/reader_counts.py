"""Readers' counts: a table of text with the columns case_id, reader, region, mc and, where they counted them, amc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from wsiamf.candidates.delimited import read_delimited
from wsiamf.errors import AgreementError, CandidateError

_NEEDED: Final = ("case_id", "reader", "mc")
_OPTIONAL: Final = ("region", "amc")


@dataclass(frozen=True)
class Count:
    """What one reader counted in one region.

    Args:
        row: Number of the row in the file, from 1, the header not counted.
        case_id: Names a slide or a case of the results.
        reader: Who counted.
        region: Name of the region; empty for the whole slide.
        mc: Mitotic figures.
        amc: Atypical ones among them; None where they were not counted.
    """

    row: int
    case_id: str
    reader: str
    region: str
    mc: int
    amc: int | None


def read_counts(path: Path) -> list[Count]:
    """Read a file of counts, separated by commas, semicolons or tabs; other columns are passed over.

    Raises:
        AgreementError: It is missing or no such table, a row has more cells than the header, a cell is no count, more are
            atypical than are mitotic, or a reader has counted one region twice; the row is named.
    """
    if not path.exists():
        raise AgreementError(f"{path}: no such file of counts; check the path.")
    if not path.is_file():
        raise AgreementError(f"{path}: is not a file; name the CSV file itself.")
    try:
        table = read_delimited(path, (*_NEEDED, *_OPTIONAL))
    except (CandidateError, OSError) as error:
        raise AgreementError(str(error)) from error
    missing = [name for name in _NEEDED if not table.has(name)]
    if missing:
        raise AgreementError(
            f"{path}: has no column {missing[0]}; it needs case_id, reader, mc, and may have region and amc."
        )
    rows = np.arange(table.n_rows)
    columns = {name: table.texts(name, rows) for name in (*_NEEDED, *_OPTIONAL) if table.has(name)}
    counts = [_count({name: cells[row] for name, cells in columns.items()}, row + 1, path) for row in rows.tolist()]
    _check_once(counts, path)
    return counts


def _count(cells: dict[str, str], row: int, path: Path) -> Count:
    for name in ("case_id", "reader"):
        if not cells[name]:
            raise AgreementError(f"{path}: row {row}: {name} is empty; fill it in.")
    mc, amc = _whole(cells["mc"], "mc", row, path), None
    if cells.get("amc"):
        amc = _whole(cells["amc"], "amc", row, path)
        if amc > mc:
            raise AgreementError(f"{path}: row {row}: {amc} atypical of {mc} mitotic figures; amc is part of mc.")
    region = " ".join(cells.get("region", "").split())
    return Count(row, cells["case_id"], cells["reader"], region, mc, amc)


def _whole(text: str, name: str, row: int, path: Path) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise AgreementError(f"{path}: row {row}: {name} is {text[:40]!r}; expected a whole number of figures.")
    return int(text)


def _check_once(counts: list[Count], path: Path) -> None:
    seen: dict[tuple[str, str, str], int] = {}
    for one in counts:
        key = (one.case_id, one.reader, one.region)
        if key in seen:
            where = one.region or "the whole slide"
            raise AgreementError(
                f"{path}: rows {seen[key]} and {one.row}: {one.reader} counted {where} of {one.case_id} twice; keep one."
            )
        seen[key] = one.row
    if not counts:
        raise AgreementError(f"{path}: holds no counts; add a row a reader and region.")
