"""The plain points table (CSV, Parquet): ``x``, ``y`` or ``x_um``, ``y_um``; optional ``id``, ``score``, ``label``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.cells import Numbers, read_numbers
from wsiamf.candidates.point_table import SLIDE_COLUMNS, PointTable, missing_columns, rows_of_slide
from wsiamf.candidates.raw import RawPoints, SlideLike
from wsiamf.candidates.wording import counted
from wsiamf.classes import AMF, MITOTIC_FIGURE, NMF, canonical_label
from wsiamf.errors import CandidateError
from wsiamf.geometry import SlideFrame

NUMBER_COLUMNS = ("x", "y", "x_um", "y_um", "score")
TEXT_COLUMNS = ("id", "label", *SLIDE_COLUMNS)

# um columns are often rounded, and mpp too: px and um agree within a pixel, or within one part in ten thousand.
_AGREE_PX = 1.0
_AGREE_RELATIVE = 1e-4

_PERSONS_WORDS = frozenset({AMF, NMF, MITOTIC_FIGURE})


def plain_points(table: PointTable, slide: SlideLike) -> RawPoints:
    """The slide's points in a plain table.

    A row's point counts as labelled by a person if its label is AMF, NMF or mitotic figure and the table has no column
    ``score``: detectors give scores, people do not.

    Raises:
        CandidateError: No coordinate columns, no row for the slide, or px and um that disagree.
    """
    rows, notes = rows_of_slide(table, slide.name)
    x, y = _coordinates(table, rows, slide.frame)
    score = read_numbers("score", table.cells("score", rows), may_be_missing=True) if table.has("score") else None
    labels = [text or None for text in table.texts("label", rows)] if table.has("label") else [None] * len(rows)
    return RawPoints(
        rows=rows + 1,
        x=x.values,
        y=y.values,
        labels=labels,
        by_person=persons(labels) if score is None else np.zeros(len(rows), dtype=np.bool_),
        score=None if score is None else score.values,
        ids=table.texts("id", rows) if table.has("id") else None,
        faults=joined_faults(x, y, score),
        notes=notes,
    )


def persons(labels: Sequence[str | None]) -> NDArray[np.bool_]:
    """(N,) Which labels are words that a person gives to a mitotic figure."""
    known = {label: label is not None and canonical_label(label) in _PERSONS_WORDS for label in set(labels)}
    return np.asarray([known[label] for label in labels], dtype=np.bool_)


def joined_faults(*columns: Numbers | None) -> dict[int, str]:
    """The reasons of several columns, those of one row joined."""
    faults: dict[int, str] = {}
    for column in columns:
        for index, reason in column.faults.items() if column else ():
            faults[index] = f"{faults[index]}, {reason}" if index in faults else reason
    return faults


def _coordinates(table: PointTable, rows: NDArray[np.int64], frame: SlideFrame) -> tuple[Numbers, Numbers]:
    has_px, has_um = table.has("x", "y"), table.has("x_um", "y_um")
    if not has_px and not has_um:
        raise missing_columns(table, "x and y (level-0 px), or x_um and y_um")
    px = [read_numbers(name, table.cells(name, rows)) for name in ("x", "y")] if has_px else []
    um = [read_numbers(name, table.cells(name, rows)) for name in ("x_um", "y_um")] if has_um else []
    if has_px and has_um:
        for name, in_px, in_um in zip("xy", px, um, strict=True):
            _check_agreement(table, rows, name, in_px.values, in_um.values, frame)
    if not has_px:
        px = [Numbers(frame.px_from_um(column.values), column.faults) for column in um]
    return px[0], px[1]


def _check_agreement(
    table: PointTable,
    rows: NDArray[np.int64],
    name: str,
    px: NDArray[np.float64],
    um: NDArray[np.float64],
    frame: SlideFrame,
) -> None:
    from_um = frame.px_from_um(um)
    tolerance = np.maximum(_AGREE_PX, _AGREE_RELATIVE * np.abs(px))
    disagree = np.flatnonzero(np.abs(px - from_um) > tolerance)  # NaN never does; such a row is at fault anyway
    if len(disagree):
        first = disagree[0]
        raise CandidateError(
            f"{table.path}: row {rows[first] + 1}: {name} is {px[first]:g} px but {name}_um is {um[first]:g} um, "
            f"{from_um[first]:g} px at {frame.mpp:g} um/px ({counted(len(disagree), 'such row')}); "
            "keep the columns that are right."
        )
