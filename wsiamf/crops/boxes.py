"""Where the pixels of crops lie in the level that is read, and how they become the crop.

A crop that is not resampled is a box of whole px. A resampled one is cut out of a wider box of whole px, which holds what the
filter needs round it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from wsiamf.crops.plan import CROP_PX, ReadingPlan

_BICUBIC_REACH: Final = 2  # source px that Pillow's bicubic filter needs beyond the box, times the reduction


@dataclass(frozen=True)
class CropBoxes:
    """The boxes of N crops, in px of the plan's level.

    Args:
        left, top, right, bottom: Whole px, (N,); the last two are exclusive. They may lie outside the level.
        x, y: Upper left corner of what becomes the crop, (N,); the box's own where it is not resampled.
        side: Its side.
        size_px: Side of the crop, S.
    """

    left: NDArray[np.int64]
    top: NDArray[np.int64]
    right: NDArray[np.int64]
    bottom: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    side: float
    size_px: int

    def __len__(self) -> int:
        return len(self.left)

    def shape(self, row: int) -> tuple[int, int]:
        """(height, width) of one box."""
        return int(self.bottom[row] - self.top[row]), int(self.right[row] - self.left[row])

    def coverage(self, dimensions: tuple[int, int]) -> NDArray[np.float64]:
        """Share (0 to 1) of each crop that lies inside a level of given (width, height), (N,)."""
        inside_x = np.minimum(self.x + self.side, dimensions[0]) - np.maximum(self.x, 0)
        inside_y = np.minimum(self.y + self.side, dimensions[1]) - np.maximum(self.y, 0)
        shares: NDArray[np.float64] = np.maximum(inside_x, 0.0) * np.maximum(inside_y, 0.0) / self.side**2
        return shares

    def resample(self, row: int, region: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop (S, S, 3) out of the pixels of its box."""
        x, y = float(self.x[row] - self.left[row]), float(self.y[row] - self.top[row])
        # Pillow widens its filter when it reduces, which is the anti-aliasing, and reads beyond the box where there are pixels.
        resized = Image.fromarray(region).resize(
            (self.size_px, self.size_px), Image.Resampling.BICUBIC, box=(x, y, x + self.side, y + self.side)
        )
        return np.asarray(resized, dtype=np.uint8)


def crop_boxes(x: ArrayLike, y: ArrayLike, plan: ReadingPlan, size_px: int = CROP_PX) -> CropBoxes:
    """The boxes of the crops round points.

    Args:
        x, y: Centres in level-0 px, (N,).
        plan: From ``plan_reading``.
        size_px: Side of the crops.
    """
    center_x, center_y = (np.asarray(value, dtype=np.float64) / plan.downsample for value in (x, y))
    side = size_px * plan.scale
    if not plan.resampled:
        # the rounding rule of ``geometry.crop_origin``
        left, top = (np.floor(value + 0.5).astype(np.int64) - size_px // 2 for value in (center_x, center_y))
        return CropBoxes(left, top, left + size_px, top + size_px, left.astype(float), top.astype(float), side, size_px)
    margin = math.ceil(_BICUBIC_REACH * max(plan.scale, 1.0))
    corner_x, corner_y = center_x - side / 2, center_y - side / 2
    left, top = (np.floor(value).astype(np.int64) - margin for value in (corner_x, corner_y))
    right, bottom = (np.ceil(value + side).astype(np.int64) + margin for value in (corner_x, corner_y))
    return CropBoxes(left, top, right, bottom, corner_x, corner_y, side, size_px)
