"""What a reader can say of a figure, and one such saying with all that is needed to find its figure again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

from wsiamf.classes import AMF, NMF, NON_MITOTIC

Kind = Literal["figure", "added"]
Source = Literal["browser", "qupath"]

FIGURE: Final = "figure"
"""A candidate that the slide's table holds."""
ADDED: Final = "added"
"""A figure that the points missed and a reader put there."""

SAME_PLACE_UM: Final = 2.0
"""Answers that lie no farther apart are about one place, and one no farther from a figure is about that figure."""


class Answer(StrEnum):
    """What a reader says of a figure; the text is what files hold."""

    AMF = AMF
    NMF = NMF
    NOT_MITOSIS = NON_MITOTIC
    CANNOT_TELL = "cannot-tell"

    @property
    def is_mitosis(self) -> bool:
        """Whether it says that the figure is a mitotic one, of either class."""
        return self in (Answer.AMF, Answer.NMF)


@dataclass(frozen=True)
class Decision:
    """One answer of one reader. It hangs on slide and place, so that it outlives a re-run with another model or points file.

    Args:
        slide_id: The slide's folder when the answer was given.
        fingerprint: The slide's (``Slide.fingerprint``).
        x_um, y_um: Centre of the figure in um of level 0.
        kind: ``figure`` for a candidate, ``added`` for one that the points missed.
        reader: Name of the reader.
        answer: What the reader says.
        blinded: Whether calls, ranks and other readers were hidden.
        source: Where the answer was given.
        candidate_uuid: Of the figure that was shown; None for an added one.
        seconds: Time spent on it, where known.
        time: When, in UTC, as ISO 8601 with microseconds (``utc_now``).
        decision_id: Its number in the decisions file; None before it is kept.
        withdrawn: Whether the reader took it back.
    """

    slide_id: str
    fingerprint: str
    x_um: float
    y_um: float
    kind: Kind
    reader: str
    answer: Answer
    blinded: bool
    source: Source
    candidate_uuid: str | None
    seconds: float | None
    time: str
    decision_id: int | None = None
    withdrawn: bool = False


def utc_now() -> str:
    """The time of a decision given now."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
