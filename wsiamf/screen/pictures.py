"""What of a slide is shown: the crops of a few rows, read once for all that shows them, and its overview."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.coordinates import Overview
from wsiamf.crops import ReadingPlan, iter_crops
from wsiamf.errors import SlideReadError
from wsiamf.slides import Slide
from wsiamf.spec import ModelSpec

Pixels = NDArray[np.uint8]

_ENOUGH_PX: Final = 1000
"""Longer side of a picture that needs no other."""
_MOST_PX: Final = 8_000_000
"""Of a level that is read for a picture: 24 MB, a fraction of a second."""


def read_crops(
    slide: Slide, table: pd.DataFrame, rows: Sequence[int], plan: ReadingPlan, size_px: int
) -> dict[int, Pixels]:
    """Crops by row, read as they were for the model: a picture shows what it saw, and fails at nothing that it could read.

    Args:
        slide: Open.
        table: With ``x, y`` in level-0 px.
        rows: Positions in the table.
        plan: How the model's crops were read.
        size_px: Side of a crop.
    """
    x, y = table["x"].to_numpy()[list(rows)], table["y"].to_numpy()[list(rows)]
    crops: dict[int, Pixels] = {}
    with closing(iter_crops(slide, x, y, plan, size_px=size_px)) as batches:
        for batch in batches:
            crops |= {rows[k]: crop for k, crop in zip(batch.rows, batch.crops_NSS3, strict=True)}
    return crops


def crop_resolution(spec: ModelSpec, plan: ReadingPlan, mpp: float) -> float:
    """um per px of a crop; ``mpp`` is that of level 0."""
    return spec.mpp if plan.resampled else mpp * plan.downsample


def overview_picture(slide: Slide, overview: Overview) -> Pixels:
    """The whole slide on a small scale, (height, width, 3) RGB uint8.

    The smallest picture of the overview that is large enough; of a small slide that has none, a level of its own where one can
    be read in a moment, else the largest picture there is.
    """
    pictures = [one.pixels for one in (overview.coarse, overview.detail) if one is not None]
    enough = [pixels for pixels in pictures if max(pixels.shape) >= _ENOUGH_PX]
    if enough:
        return min(enough, key=lambda pixels: pixels.size)
    largest = max(pictures, key=lambda pixels: pixels.size)
    level = _level_to_read(slide.level_dimensions)
    if level is None or max(slide.level_dimensions[level]) <= max(largest.shape):
        return largest
    try:
        return slide.read_region((0, 0), level, slide.level_dimensions[level])
    except SlideReadError:  # the overview was read block by block, so that a damaged one does not spoil it
        return largest


def _level_to_read(sizes: Sequence[tuple[int, int]]) -> int | None:
    """The smallest level that is large enough, else the largest that is not too large."""
    readable = [level for level, (width, height) in enumerate(sizes) if width * height <= _MOST_PX]
    enough = [level for level in readable if max(sizes[level]) >= _ENOUGH_PX]
    return max(enough) if enough else min(readable, default=None)
