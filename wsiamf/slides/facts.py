"""What a slide says of itself, ready for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict

from wsiamf.errors import MppError
from wsiamf.slides.interface import Slide
from wsiamf.slides.resolution import Resolution, stated_resolution


def slide_facts(slide: Slide) -> dict[str, object]:
    """Facts about a slide that are safe to publish: no path, nothing of the label or macro image, no free text.

    Args:
        slide: Open; one without a usable mpp is described too (``mpp`` null, ``mpp_status`` says why).

    Returns:
        Text, numbers, nulls and lists and dictionaries of them, never NaN. Lengths are in px of the level they describe,
        ``mpp`` in um per level-0 px.
    """
    width, height = slide.dimensions
    return {
        "name": slide.name,
        "vendor": slide.vendor,
        "backend": slide.backend,
        "width": width,
        "height": height,
        **_mpp_facts(slide),
        "objective_power": _objective_power(slide),
        "levels": [_level_facts(slide, level) for level in range(slide.level_count)],
        "bounds": asdict(slide.bounds),
        "background": list(slide.background),
        "fingerprint": slide.fingerprint,
    }


def _mpp_facts(slide: Slide) -> dict[str, object]:
    stated = stated_resolution(slide.properties)  # without the guess from the objective power
    try:
        mpp, status = slide.mpp, "ok"
    except MppError:
        mpp, status = None, stated.status
    return {
        "mpp": mpp,
        "mpp_status": status,
        "mpp_source": slide.mpp_source,
        "mpp_stated": _stated_pair(stated),
    }


def _stated_pair(stated: Resolution) -> list[float] | None:
    """[x, y] as the file has it, believable or not."""
    if stated.x is None or stated.y is None or not math.isfinite(stated.x + stated.y):
        return None
    return [stated.x, stated.y]


def _level_facts(slide: Slide, level: int) -> dict[str, object]:
    width, height = slide.level_dimensions[level]
    grid = slide.tile_grid(level)
    return {
        "width": width,
        "height": height,
        "downsample": slide.level_downsamples[level],
        "tile_width": grid.tile_width if grid else None,
        "tile_height": grid.tile_height if grid else None,
    }


def _objective_power(slide: Slide) -> float | None:
    try:
        power = float(slide.properties["openslide.objective-power"])
    except (KeyError, ValueError):
        return None
    return power if math.isfinite(power) and power > 0 else None
