"""Which level of a slide is read for crops of a given resolution, and whether it is resampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from wsiamf.geometry import within_tolerance

CROP_PX: Final = 128
"""Side of a crop, in px at the model's mpp: what the public data sets hold."""


@dataclass(frozen=True)
class ReadingPlan:
    """How crops of one resolution are had from one slide.

    Args:
        level: The level that is read.
        downsample: Level-0 px per px of that level.
        scale: px of that level per px of the crop; 1.0 where it is read as it is.
    """

    level: int
    downsample: float
    scale: float

    @property
    def resampled(self) -> bool:
        """Whether the level's pixels are interpolated."""
        return self.scale != 1.0

    @property
    def upsampled(self) -> bool:
        """Whether the slide is coarser than the model, so that detail is missing."""
        return self.scale < 1.0


def plan_reading(
    mpp: float, level_downsamples: tuple[float, ...], *, target_mpp: float, tolerance: float
) -> ReadingPlan:
    """Choose the level to read and whether to resample.

    Level 0 is read as it is where its mpp lies within the tolerance; else the closest level that does; else the coarsest
    level that is still finer is resampled; a slide that is coarser altogether is upsampled from level 0.

    Args:
        mpp: um per level-0 px.
        level_downsamples: Level-0 px per px of each level, finest first.
        target_mpp: um per px of the crops.
        tolerance: Relative difference that counts as equal.
    """
    if within_tolerance(mpp, target_mpp, tolerance):
        return ReadingPlan(0, 1.0, 1.0)
    level_mpp = [mpp * downsample for downsample in level_downsamples]
    near = [level for level, value in enumerate(level_mpp) if within_tolerance(value, target_mpp, tolerance)]
    if near:
        level = min(near, key=lambda k: abs(math.log(level_mpp[k] / target_mpp)))
        return ReadingPlan(level, level_downsamples[level], 1.0)
    level = max((k for k, value in enumerate(level_mpp) if value < target_mpp), default=0)
    return ReadingPlan(level, level_downsamples[level], target_mpp / level_mpp[level])
