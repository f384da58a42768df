"""The coordinate check of one run: when it is made, and what becomes of its finding."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates import Placement
from wsiamf.coordinates import Finding, SlideMap, check_points, share_off_slide
from wsiamf.errors import CandidateError
from wsiamf.slides import Slide

Floats = NDArray[np.float64]

FORCED: Final = "points_do_not_fit"
DOUBTFUL: Final = "points_not_on_nuclei"


class PointsFit:
    """Takes the points as they are read, and holds them against the slide once its overview is there.

    Args:
        points_name: The points file, for messages.
        slide: The slide; used by the thread that calls.
        seen: Its overview.
        force: Warn where the points do not fit, and do not stop.
    """

    def __init__(self, points_name: str, slide: Slide, seen: Future[SlideMap], *, force: bool) -> None:
        self._points_name, self._slide, self._seen, self._force = points_name, slide, seen, force
        self._points: tuple[Floats, Floats, Placement] | None = None
        self._finding: Finding | None = None

    def take(self, x: Floats, y: Floats, placement: Placement) -> None:
        """Keep the points; where any lies off the slide, check them now, before single rows are refused for it.

        Raises:
            CandidateError: The points do not fit.
        """
        self._points = x, y, placement
        if self._any_off_slide():
            self.warning()

    def warning(self) -> str | None:
        """What to tell the user of points that do not fit; None where they do or nothing can be told.

        Raises:
            CandidateError: They do not fit, and ``force`` was not given.
        """
        assert self._points is not None, "take comes first"
        if self._finding is None:
            self._finding = check_points(*self._points, self._slide, self._seen.result())
        finding = self._finding
        if finding.stops and not self._force:
            remedy = f"pass {finding.remedy}, or" if finding.remedy else "correct them, or pass"
            remedy = remedy.replace("pass leave out", "leave out")
            options = "--force --skip-bad-points" if self._any_off_slide() else "--force"
            raise CandidateError(f"{self._points_name}: {finding.text}; {remedy} {options} to go on all the same.")
        return f"{self._points_name}: {finding.text}." if finding.text else None

    def _any_off_slide(self) -> bool:
        assert self._points is not None, "take comes first"
        return share_off_slide(*self._points, self._slide.frame) > 0

    @property
    def flags(self) -> list[str]:
        """For ``summary.json``."""
        if self._finding is None or not self._finding.text:
            return []
        return [FORCED if self._finding.stops else DOUBTFUL]
