"""Where the image lies on the glass slide: Hamamatsu's programs count from the slide's centre."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

OFFSET_KEYS: Final = ("hamamatsu.XOffsetFromSlideCentre", "hamamatsu.YOffsetFromSlideCentre")


def centre_offset_nm(properties: Mapping[str, str]) -> tuple[float, float] | None:
    """How far the middle of the image lies from the slide's centre, (x, y) in nm; None where the file does not say.

    Args:
        properties: Under OpenSlide's keys, as in ``Slide.properties``.
    """
    try:
        x, y = (float(properties[key]) for key in OFFSET_KEYS)
    except (KeyError, ValueError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None
