"""The plain points table (CSV, Parquet): ``x``, ``y`` in px, um or mm; optional ``id``, ``score``, ``label``, experts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.cells import Numbers, read_numbers
from wsiamf.candidates.columns import EXPERT_PREFIX, UNITS, coordinate_column
from wsiamf.candidates.point_table import PointTable, missing_columns, rows_of_slide, slides_of_rows
from wsiamf.candidates.programs import LABELLED_BY, by_programs
from wsiamf.candidates.raw import RawPoints, SlideLike, Unit
from wsiamf.classes import AMF, MITOTIC_FIGURE, NMF, canonical_label
from wsiamf.errors import CandidateError
from wsiamf.geometry import SlideFrame
from wsiamf.wording import counted, shown

# um columns are often rounded, and mpp too: px and um agree within a pixel, or within one part in ten thousand.
_AGREE_PX = 1.0
_AGREE_RELATIVE = 1e-4

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
_PERSONS_WORDS = frozenset({AMF, NMF, MITOTIC_FIGURE})
_EXPECTED = "x and y (level-0 px), or x_um and y_um, or x_mm and y_mm"


def plain_points(table: PointTable, slide: SlideLike) -> RawPoints:
    """The slide's points in a plain table.

    A row's point counts as labelled by a person if its label is AMF, NMF or mitotic figure and the table has no column
    ``score``: detectors give scores, people do not. A column ``by_person`` (true, false) says it instead, and rows
    that ``wsiamf export`` labelled, as a column ``labelled_by`` says, are no person's.

    Raises:
        CandidateError: No coordinate columns, no row for the slide, or units that disagree.
    """
    rows, notes = rows_of_slide(table, slide.name)
    unit, x, y = _coordinates(table, rows, slide.frame)
    score = read_numbers("score", table.cells("score", rows), may_be_missing=True) if table.has("score") else None
    labels = [text or None for text in table.texts("label", rows)] if table.has("label") else [None] * len(rows)
    by_person, unclear = _by_person(table, rows, labels)
    points = RawPoints(
        rows=rows + 1,
        x=x.values,
        y=y.values,
        labels=labels,
        by_person=by_person,
        score=None if score is None else score.values,
        ids=table.texts("id", rows) if table.has("id") else None,
        faults=joined_faults(x, y, score, unclear),
        notes=notes,
        unit=unit,
        slides=slides_of_rows(table, rows),
        person_labels=_experts(table, rows),
    )
    return by_programs(points, table.texts(LABELLED_BY, rows)) if table.has(LABELLED_BY) else points


def _by_person(
    table: PointTable, rows: NDArray[np.int64], labels: Sequence[str | None]
) -> tuple[NDArray[np.bool_], Numbers | None]:
    """(N,) Which points a person labelled: what the table says of it; and the rows that say it in no known word."""
    if not table.has("by_person"):
        return np.zeros(len(rows), dtype=np.bool_) if table.has("score") else persons(labels), None
    words = [word.lower() for word in table.texts("by_person", rows)]
    wrong = {i: f"by_person is {shown(word)}, not true or false" for i, word in enumerate(words) if word not in _TRUTHS}
    return np.asarray([_TRUTHS.get(word, False) for word in words], dtype=np.bool_), Numbers(np.zeros(len(rows)), wrong)


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


def _experts(table: PointTable, rows: NDArray[np.int64]) -> dict[str, list[str | None]] | None:
    names = [name for name in table.columns if name.startswith(EXPERT_PREFIX)]
    return {
        name.removeprefix(EXPERT_PREFIX): [text or None for text in table.texts(name, rows)] for name in names
    } or None


def _coordinates(table: PointTable, rows: NDArray[np.int64], frame: SlideFrame) -> tuple[Unit, Numbers, Numbers]:
    """The first unit in which both coordinates are there, and they; the other units must say the same."""
    units = [unit for unit in UNITS if table.has(coordinate_column("x", unit), coordinate_column("y", unit))]
    if not units:
        raise _mixed_units(table) or missing_columns(table, _EXPECTED)
    unit, *others = units
    read = {(axis, other): _column(table, rows, axis, other) for axis in "xy" for other in units}
    for axis in "xy":
        for other in others:
            _check_agreement(
                table, rows, axis, (read[axis, unit].values, unit), (read[axis, other].values, other), frame
            )
    return unit, read["x", unit], read["y", unit]


def _column(table: PointTable, rows: NDArray[np.int64], axis: str, unit: Unit) -> Numbers:
    name = coordinate_column(axis, unit)
    return read_numbers(name, table.cells(name, rows))


def _mixed_units(table: PointTable) -> CandidateError | None:
    """The error for x in one unit and y in another; None where one of them is not there at all."""
    x, y = (list(_written(table, axis)) for axis in "xy")
    if not x or not y:
        return None
    return CandidateError(
        f"{table.path}: has no coordinates of one unit: {x[0]}, but {y[0]}; give both in the same unit "
        f"({_EXPECTED}) and take the other column out."
    )


def _written(table: PointTable, axis: str) -> Iterator[str]:
    for unit in UNITS:
        name = coordinate_column(axis, unit)
        if table.has(name):
            yield f"{axis} is in {unit} ({name})"


def _check_agreement(
    table: PointTable,
    rows: NDArray[np.int64],
    axis: str,
    one: tuple[NDArray[np.float64], Unit],
    other: tuple[NDArray[np.float64], Unit],
    frame: SlideFrame,
) -> None:
    """Raise where two columns of one coordinate disagree; nothing can be said without a resolution."""
    (values, unit), (other_values, other_unit) = one, other
    px, other_px = (_px(column, of, frame.mpp) for column, of in (one, other))
    tolerance = np.maximum(_AGREE_PX, _AGREE_RELATIVE * np.abs(px))
    with np.errstate(invalid="ignore"):
        # NaN never disagrees; such a row is at fault anyway
        disagree = np.flatnonzero(np.abs(px - other_px) > tolerance)
    if len(disagree):
        first = disagree[0]
        raise CandidateError(
            f"{table.path}: row {rows[first] + 1}: {coordinate_column(axis, unit)} is {values[first]:g} {unit} but "
            f"{coordinate_column(axis, other_unit)} is {other_values[first]:g} {other_unit}, "
            f"{other_px[first]:g} px at {frame.mpp:g} um/px ({counted(len(disagree), 'such row')}); "
            "keep the columns that are right."
        )


def _px(values: NDArray[np.float64], unit: Unit, mpp: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return values if unit == "px" else values * ({"um": 1.0, "mm": 1000.0}[unit] / mpp)
