"""Do the points fit the slide? Finds the usual mistakes with coordinates before anything is classified."""

from __future__ import annotations

from wsiamf.coordinates.check import Finding, check_points, share_off_slide
from wsiamf.coordinates.overview import Overview, read_overview
from wsiamf.coordinates.slide_map import SlideMap

__all__ = ["Finding", "Overview", "SlideMap", "check_points", "read_overview", "share_off_slide"]
