"""What every reader takes and gives: the slide's name and frame in, the file's points as they stand out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.slide_names import SlideNames
from wsiamf.geometry import Bounds, SlideFrame

PointsFrame = Literal["level0", "qupath"]
Unit = Literal["px", "um", "mm"]

EVERY_SLIDE: Final = ""
"""The name of a slide that stands for all of them: readers give a file's rows of whatever slide for it."""

UNKNOWN_FRAME: Final = SlideFrame(0, 0, float("nan"), Bounds(0, 0, 0, 0))
"""Of a slide that is not at hand: what needs its mpp becomes NaN."""

_UM: Final[dict[Unit, float]] = {"um": 1.0, "mm": 1000.0}


def px_per_unit(unit: Unit, mpp: float) -> float:
    """How many px of ``mpp`` um a unit is."""
    return 1.0 if unit == "px" else _UM[unit] / mpp


class SlideLike(Protocol):
    """The two facts about a slide that candidates need."""

    @property
    def name(self) -> str:
        """File name with its suffix, without folders."""

    @property
    def frame(self) -> SlideFrame:
        """Size, mpp and bounds."""


@dataclass(frozen=True)
class NamedSlide:
    """A slide by its name; by ``EVERY_SLIDE`` and without a frame, whatever slides a file names.

    Args:
        name: File name with its suffix, without folders.
        frame: Size, mpp and bounds.
    """

    name: str = EVERY_SLIDE
    frame: SlideFrame = UNKNOWN_FRAME


@dataclass(frozen=True)
class RawPoints:
    """One slide's points as the file gives them; N rows in the file's order.

    Args:
        rows: Number of each row (or annotation) in the file, from 1.
        x, y: Centres in the file's own frame and ``unit``; NaN where the row gives no number.
        labels: The file's class words, None where it has none.
        by_person: Rows whose point a person labelled; they are never merged.
        score: Detector scores, NaN where a row has none; None where the file has no scores at all.
        ids: The file's own ids as text, ``""`` where a row has none; None where the file has no ids.
        faults: Why a row cannot be used, by its index into these arrays.
        notes: Things to tell the user.
        row_word: What the file calls a row, for messages.
        unit: Of ``x`` and ``y``.
        slides: The slide that each row is for, as the file writes it; None where the file names no slides.
        person_labels: Class words of each person, one a row, None where the person gave none.
        may_hold_regions: Whether some outlines may be regions rather than figures, which only the slide's mpp can tell.
        persons_are_experts: Whether all of those persons' AMF and NMF labels are votes; otherwise only those of the persons
            that the user names.
    """

    rows: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    labels: Sequence[str | None]
    by_person: NDArray[np.bool_]
    score: NDArray[np.float64] | None
    ids: Sequence[str] | None
    faults: Mapping[int, str]
    notes: tuple[str, ...] = ()
    row_word: str = "row"
    unit: Unit = "px"
    slides: Sequence[str] | None = None
    person_labels: Mapping[str, Sequence[str | None]] | None = None
    persons_are_experts: bool = True
    may_hold_regions: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: NDArray[np.int64]) -> RawPoints:
        """Some of the rows, in the order of ``indices``."""
        chosen = indices.tolist()
        return replace(
            self,
            rows=self.rows[indices],
            x=self.x[indices],
            y=self.y[indices],
            labels=[self.labels[index] for index in chosen],
            by_person=self.by_person[indices],
            score=None if self.score is None else self.score[indices],
            ids=None if self.ids is None else [self.ids[index] for index in chosen],
            faults={new: self.faults[old] for new, old in enumerate(chosen) if old in self.faults},
            slides=None if self.slides is None else [self.slides[index] for index in chosen],
            person_labels=None
            if self.person_labels is None
            else {person: [labels[index] for index in chosen] for person, labels in self.person_labels.items()},
        )


class ListedSlides(Protocol):
    """What a points file for many slides says of each of them."""

    @property
    def names(self) -> SlideNames:
        """The slides that the file lists."""

    def own(self, slide_name: str) -> Any:
        """All that one slide's points follow from, as values that JSON has (lists as arrays too): its own rows and their
        numbers above all.

        Raises:
            CandidateError: The file does not list the slide, or lists it twice.
        """


def names_no_slides(_path: Path) -> None:
    """``Reader.listed`` of a format whose files are each of one slide."""


@dataclass(frozen=True)
class Reader:
    """One format.

    Args:
        name: What ``points_format`` and the run record call it.
        frame: The frame its coordinates are in unless the user says otherwise.
        sniff: Whether a file is of this format, from its path and first bytes.
        read: The points of one slide; raises ``CandidateError`` on a malformed file.
        listed: The slides that a file lists, None for a file without slide names; raises ``CandidateError`` likewise.
        states_unit: Whether the format has a unit of its own, from which ``read`` makes px: the user cannot name another.
    """

    name: str
    frame: PointsFrame
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path, SlideLike], RawPoints]
    listed: Callable[[Path], ListedSlides | None] = names_no_slides
    states_unit: bool = False
