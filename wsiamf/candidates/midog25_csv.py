"""The annotations of MIDOG 2025 track 2: one row a mitotic figure, with the votes of two or three experts.

A column ``labelled_by``, which ``wsiamf export`` adds, names whose label a row's ``majority`` is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsiamf.candidates.cells import read_numbers
from wsiamf.candidates.delimited import header_of, listed_in, shared_table
from wsiamf.candidates.plain import joined_faults
from wsiamf.candidates.point_table import missing_columns, rows_of_slide, slides_of_rows
from wsiamf.candidates.programs import LABELLED_BY, by_programs
from wsiamf.candidates.raw import ListedSlides, RawPoints, Reader, SlideLike

_NAME = "midog25-csv"
_ESSENTIAL = ("filename", "coordinatex", "coordinatey")
_EXPERTS = ("expert1", "expert2", "expert3")
_COLUMNS = (*_ESSENTIAL, "image_id", "majority", *_EXPERTS, LABELLED_BY)


def _sniff(_path: Path, head: bytes) -> bool:
    return set(_ESSENTIAL) <= set(header_of(head))


def _read(path: Path, slide: SlideLike) -> RawPoints:
    table = shared_table(path, _NAME, _COLUMNS)
    if not table.has(*_ESSENTIAL):
        raise missing_columns(table, "filename, coordinateX and coordinateY")
    rows, notes = rows_of_slide(table, slide.name)
    x = read_numbers("coordinateX", table.cells("coordinatex", rows))
    y = read_numbers("coordinateY", table.cells("coordinatey", rows))
    majority = table.texts("majority", rows) if table.has("majority") else [""] * len(rows)
    points = RawPoints(
        rows=rows + 1,
        x=x.values,
        y=y.values,
        labels=[word or None for word in majority],
        by_person=np.ones(len(rows), dtype=np.bool_),
        score=None,
        ids=table.texts("image_id", rows) if table.has("image_id") else None,
        faults=joined_faults(x, y),
        notes=notes,
        slides=slides_of_rows(table, rows),
        person_labels={
            name: [word or None for word in table.texts(name, rows)] for name in _EXPERTS if table.has(name)
        },
    )
    return by_programs(points, table.texts(LABELLED_BY, rows)) if table.has(LABELLED_BY) else points


def _listed(path: Path) -> ListedSlides | None:
    return listed_in(path, _NAME, _COLUMNS)


READER = Reader(name=_NAME, frame="level0", sniff=_sniff, read=_read, listed=_listed)
