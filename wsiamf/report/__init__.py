"""``report.html``: results as one self-contained page to look at, print and send; of a slide and of a cohort.

Plain numbers and pictures in, text out: nothing here opens a slide or writes a file.
"""

from wsiamf.report.cohort_page import CohortMaterial, render_cohort
from wsiamf.report.galleries import Gallery, select_galleries
from wsiamf.report.reference import Reference, parse_reference
from wsiamf.report.slide_page import Pictures, SlideMaterial, render_slide
from wsiamf.report.template import REPORT, is_own_page, made_from

__all__ = [
    "REPORT",
    "CohortMaterial",
    "Gallery",
    "Pictures",
    "Reference",
    "SlideMaterial",
    "is_own_page",
    "made_from",
    "parse_reference",
    "render_cohort",
    "render_slide",
    "select_galleries",
]
