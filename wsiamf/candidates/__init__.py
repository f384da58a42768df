"""The candidate table: points of a file, checked, in level-0 px, with detections of one figure merged."""

from __future__ import annotations

from wsiamf.candidates.formats import FORMATS
from wsiamf.candidates.raw import PointsFrame, SlideLike
from wsiamf.candidates.reading import COLUMNS, MERGE_UM, Candidates, read_candidates

__all__ = ["COLUMNS", "FORMATS", "MERGE_UM", "Candidates", "PointsFrame", "SlideLike", "read_candidates"]
