"""Predictions to a slide's counts, ratios with their uncertainty, hotspots, and the order of review."""

from __future__ import annotations

from wsiamf.summary.agreement import agreement_fields
from wsiamf.summary.conformal import apply_conformal
from wsiamf.summary.named_regions import named_region_fields
from wsiamf.summary.ranking import rank_for_review
from wsiamf.summary.sampling import random_rows
from wsiamf.summary.slide_summary import summarize
from wsiamf.summary.thresholds import SummaryRules, apply_thresholds

__all__ = [
    "SummaryRules",
    "agreement_fields",
    "apply_conformal",
    "apply_thresholds",
    "named_region_fields",
    "random_rows",
    "rank_for_review",
    "summarize",
]
