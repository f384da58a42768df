"""Where a review's files are: one folder beside the slides' own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsiamf.errors import ReviewError
from wsiamf.files import RUN_RECORD
from wsiamf.review.decisions import FILE_NAME

REVIEW_FOLDER: Final = "review"
REVIEWED_FOLDER: Final = "reviewed"


@dataclass(frozen=True)
class ReviewPlaces:
    """The paths of the review of one OUT.

    Args:
        out: The OUT of ``screen`` or ``cohort``, never a single slide's folder.
    """

    out: Path

    @property
    def folder(self) -> Path:
        """The review's own folder; nothing else writes there."""
        return self.out / REVIEW_FOLDER

    @property
    def decisions(self) -> Path:
        """Every answer ever given."""
        return self.folder / FILE_NAME

    @property
    def worklist(self) -> Path:
        """Which figures to look at."""
        return self.folder / "worklist.csv"

    @property
    def worklist_record(self) -> Path:
        """How they were drawn."""
        return self.folder / "worklist.json"

    @property
    def server(self) -> Path:
        """The port that the review was served on last."""
        return self.folder / "server.json"

    @property
    def reviewed(self) -> Path:
        """Tables and counts after review."""
        return self.folder / REVIEWED_FOLDER


def check_out(out: Path) -> ReviewPlaces:
    """The places of a review.

    Raises:
        ReviewError: ``out`` is one slide's folder, inside which nothing is put, or its ``review`` is a slide's folder.
    """
    if (out / RUN_RECORD).is_file():
        raise ReviewError(
            f"{out}: is one slide's folder; give the folder that it lies in ({out.absolute().parent.name}), where the review "
            "is kept."
        )
    places = ReviewPlaces(out)
    if (places.folder / RUN_RECORD).is_file():
        raise ReviewError(f"{places.folder}: holds the results of a slide; screen that slide with another --slide-id.")
    return places
