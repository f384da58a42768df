"""Values of the column ``status``: why a candidate counts or does not. Only ``OK`` rows count."""

from __future__ import annotations

from typing import Final

OK: Final = "ok"
"""Counts."""

DUPLICATE: Final = "duplicate"
"""A detection closer than the merging distance to a better one, which is counted in its place."""

BELOW_MIN_SCORE: Final = "below_min_score"
"""A detection whose score is below the least one asked for."""

OUTSIDE_ROI: Final = "outside_roi"
"""Outside the regions of interest."""

UNREADABLE: Final = "unreadable"
"""The slide's pixels there could not be decoded."""

BAD_POINT: Final = "bad_point"
"""The row holds no usable point: not a number, or too far outside the slide."""

NON_MITOTIC: Final = "non_mitotic"
"""Labelled as no mitotic figure; present only where asked for, never counted."""

STATUSES: Final = (OK, DUPLICATE, BELOW_MIN_SCORE, OUTSIDE_ROI, UNREADABLE, BAD_POINT, NON_MITOTIC)
