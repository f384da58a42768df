"""The annotations of AMi-Br: one row a mitotic figure, three experts' words for atypical (``True``) or normal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.cells import Numbers, read_numbers
from wsiamf.candidates.delimited import header_of, listed_in, shared_table
from wsiamf.candidates.plain import joined_faults
from wsiamf.candidates.point_table import PointTable, missing_columns, rows_of_slide, slides_of_rows
from wsiamf.candidates.raw import ListedSlides, RawPoints, Reader, SlideLike
from wsiamf.classes import AMF, NMF
from wsiamf.wording import shown

_NAME: Final = "ami-br-csv"
_MAJORITY: Final = "majority_atypical"
_ESSENTIAL: Final = ("slide", "x", "y", _MAJORITY)
_EXPERTS: Final = ("expert1", "expert2", "expert3")
_COLUMNS: Final = (*_ESSENTIAL, "dataset", "uid", *(f"{expert}_atypical" for expert in _EXPERTS))
_WORDS: Final = {"true": AMF, "1": AMF, "false": NMF, "0": NMF, "": None}


def _sniff(_path: Path, head: bytes) -> bool:
    return set(_ESSENTIAL) <= set(header_of(head))


def _read(path: Path, slide: SlideLike) -> RawPoints:
    table = shared_table(path, _NAME, _COLUMNS)
    if not table.has(*_ESSENTIAL):
        raise missing_columns(table, "slide, x, y and majority_atypical")
    rows, notes = rows_of_slide(table, slide.name)
    x, y = (read_numbers(axis, table.cells(axis, rows)) for axis in "xy")
    labels, label_faults = _classes(table, _MAJORITY, rows)
    votes = {name: _classes(table, f"{name}_atypical", rows) for name in _EXPERTS if table.has(f"{name}_atypical")}
    return RawPoints(
        rows=rows + 1,
        x=x.values,
        y=y.values,
        labels=labels,
        by_person=np.ones(len(rows), dtype=np.bool_),
        score=None,
        ids=_ids(table, rows),
        faults=joined_faults(x, y, label_faults, *(faults for _, faults in votes.values())),
        notes=notes,
        slides=slides_of_rows(table, rows),
        person_labels={name: given for name, (given, _) in votes.items()},
    )


def _classes(table: PointTable, column: str, rows: NDArray[np.int64]) -> tuple[list[str | None], Numbers]:
    """AMF for ``True``, NMF for ``False``, None for no answer; other words are faults."""
    words = table.texts(column, rows)
    known = {word: _WORDS.get(word.lower(), "") for word in set(words)}
    wrong = {i: f"{column} is {shown(word)}, not True or False" for i, word in enumerate(words) if known[word] == ""}
    return [known[word] or None for word in words], Numbers(np.zeros(len(words)), wrong)


def _ids(table: PointTable, rows: NDArray[np.int64]) -> Sequence[str] | None:
    """``MIDOG21_6``, as the crops are called: a ``uid`` alone is given in both parts of the data."""
    if not table.has("uid"):
        return None
    uids = table.texts("uid", rows)
    parts = table.texts("dataset", rows) if table.has("dataset") else [""] * len(rows)
    return [f"{part}_{uid}" if part and uid else uid for part, uid in zip(parts, uids, strict=True)]


def _listed(path: Path) -> ListedSlides | None:
    return listed_in(path, _NAME, _COLUMNS)


READER = Reader(name=_NAME, frame="level0", sniff=_sniff, read=_read, listed=_listed)
