"""Points gathered one by one while a file is read: few bytes each, whatever the file writes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from wsiamf.candidates.cells import parse_number
from wsiamf.candidates.outlines import Outlines, may_hold_regions, region_notes, region_rows
from wsiamf.candidates.raw import RawPoints
from wsiamf.wording import shown


class Vertices:
    """The coordinates of one object; what is wrong with the first bad one."""

    def __init__(self) -> None:
        self.places: list[tuple[float, float]] = []
        self.fault: str | None = None

    def __len__(self) -> int:
        return len(self.places)

    def add(self, x: Any, y: Any) -> None:
        """Another vertex, as the file writes it."""
        (x, fault_x), (y, fault_y) = read_number("x", x), read_number("y", y)
        self.places.append((x, y))
        self.fault = self.fault or fault_x or fault_y


class Gathered:
    """N points so far.

    Args:
        row_word: What the file calls a point, for messages.
    """

    def __init__(self, row_word: str = "point") -> None:
        self._row_word = row_word
        self._outlines = Outlines()  # a point is an outline of one vertex
        self._width, self._score = array("d"), array("d")
        self._labels: list[str | None] = []
        self._ids: list[str] = []
        self._words: dict[str, str] = {}
        self.faults: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._outlines)

    def add(
        self,
        x: Any,
        y: Any,
        label: str | None,
        *,
        score: Any = None,
        name: str = "",
        width: float = 0.0,
        fault: str | None = None,
    ) -> None:
        """A point.

        Args:
            x, y: As the file writes them: numbers, or text that should hold one; anything else is a fault of the point.
            label: The file's class word.
            score: A detector's, None for none.
            name: The file's id.
            width: Of the object that the point stands for, in the unit of ``x``; 0 for a point.
            fault: What is wrong with the whole point; its numbers need not be asked then.
        """
        (x, fault_x), (y, fault_y) = read_number("x", x), read_number("y", y)
        score, fault_score = (np.nan, None) if score is None else read_number("score", score)
        reasons = [fault] if fault else [reason for reason in (fault_x, fault_y, fault_score) if reason]
        if reasons:
            self.faults[len(self)] = ", ".join(reasons)
        self._append([(x, y)], width, score, label, name)

    def add_outline(self, vertices: Vertices, label: str | None, fault: str | None = None) -> None:
        """The centre of an outline; or a point at fault, where it has no vertices or bad ones."""
        fault = fault or vertices.fault or (None if len(vertices) else "it has no coordinates")
        if fault:
            self.faults[len(self)] = fault
        self._append([(np.nan, np.nan)] if fault else vertices.places, 0.0, np.nan, label, "")

    def _append(
        self, vertices: Sequence[tuple[float, float]], width: float, score: float, label: str | None, name: str
    ) -> None:
        self._outlines.add([(vertices, False)])
        self._width.append(width)
        self._score.append(score)
        # Equal words are kept once: a million labels are a million references.
        self._labels.append(None if label is None else self._words.setdefault(label, label))
        self._ids.append(name)

    def raw_points(self, *, um_per_unit: float, by_person: bool, notes: Sequence[str] = ()) -> RawPoints:
        """What a reader gives: outlines too wide for a figure are left out with a note, if there is anything else.

        Args:
            um_per_unit: um of one unit of ``x``, NaN where nobody knows.
            by_person: Whether a person set the points.
            notes: The reader's own.
        """
        score, n = np.asarray(self._score), len(self)
        places, widths = self._outlines.places()
        widths = np.fmax(widths, np.asarray(self._width))
        regions = region_rows(widths, um_per_unit)
        raw = RawPoints(
            rows=np.arange(1, n + 1, dtype=np.int64),
            x=places[:, 0],
            y=places[:, 1],
            labels=self._labels,
            by_person=np.full(n, by_person),
            score=None if n and np.isnan(score).all() else score,  # no detections: a least score applies to them too
            ids=self._ids if any(self._ids) else None,
            faults=self.faults,
            notes=(*notes, *region_notes(int(regions.sum()))),
            row_word=self._row_word,
            may_hold_regions=may_hold_regions(widths, um_per_unit),
        )
        return raw.take(np.flatnonzero(~regions)) if regions.any() else raw


def read_number(name: str, value: Any) -> tuple[float, str | None]:
    """A finite number and no fault, or NaN and what is wrong.

    Args:
        name: The number's, for the fault.
        value: A number, or text that should hold one.
    """
    try:
        if isinstance(value, str):
            number = parse_number(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
        else:
            raise ValueError
    except ValueError:
        return np.nan, f"{name} is {'missing' if value is None else shown(value) + ', not a number'}"
    except OverflowError:  # an integer beyond the range of a float
        number = np.inf
    if abs(number) < np.inf:
        return number, None
    return np.nan, f"{name} is {'missing' if np.isnan(number) else 'infinite'}"
