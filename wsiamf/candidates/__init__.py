"""The candidate table: points of a file, checked, in level-0 px, with detections of one figure merged."""

from __future__ import annotations

from wsiamf.candidates.formats import FORMATS
from wsiamf.candidates.placing import MAX_OUTSIDE_PX, Placement
from wsiamf.candidates.raw import PointsFrame, SlideLike
from wsiamf.candidates.reading import COLUMNS, MERGE_UM, Candidates, read_candidates

__all__ = [
    "COLUMNS",
    "FORMATS",
    "MAX_OUTSIDE_PX",
    "MERGE_UM",
    "Candidates",
    "Placement",
    "PointsFrame",
    "SlideLike",
    "read_candidates",
]
