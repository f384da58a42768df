"""Crops round candidates: level choice, resampling, edge padding, batches; and crop images from files.

Shapes: N = crops, S = crop side in px. Crops are RGB uint8 at the model's mpp; what lies outside the slide is white.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from wsiamf.errors import SlideReadError
from wsiamf.geometry import coverage, crop_origin, within_tolerance
from wsiamf.slides import Slide
from wsiamf.slides.images import read_image

logger = logging.getLogger(__name__)

CROP_PX: Final = 128
"""Side of a crop, in px at the model's mpp: what the public data sets hold."""

_BICUBIC_REACH: Final = 2  # source px that Pillow's bicubic filter needs beyond the box, times the reduction


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


@dataclass(frozen=True)
class CropBatch:
    """Some crops of a run over candidates.

    Args:
        rows: Position of each crop's candidate in the input, (N,).
        crops_NSS3: The crops; white where unreadable.
        coverage: Share of each crop that lies inside the slide, 0 to 1.
        problems: Why a crop could not be read, or None, one a crop.
    """

    rows: NDArray[np.intp]
    crops_NSS3: NDArray[np.uint8]
    coverage: NDArray[np.float64]
    problems: tuple[str | None, ...]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which crops hold pixels, (N,)."""
        return np.array([problem is None for problem in self.problems], dtype=bool)


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


def read_crop(
    slide: Slide, center: tuple[float, float], plan: ReadingPlan, size_px: int = CROP_PX
) -> NDArray[np.uint8]:
    """Read the crop round one point.

    Args:
        center: (x, y) in level-0 px; the crop may hang over the edge.
        plan: From ``plan_reading``.
        size_px: Side of the crop, S.

    Returns:
        (S, S, 3), RGB uint8, white outside the slide.

    Raises:
        SlideReadError: The pixels could not be decoded.
    """
    level_center = (center[0] / plan.downsample, center[1] / plan.downsample)
    if not plan.resampled:
        return _read_level(slide, plan, crop_origin(level_center, size_px), (size_px, size_px))
    half = size_px * plan.scale / 2
    margin = math.ceil(_BICUBIC_REACH * max(plan.scale, 1.0))
    left, top = level_center[0] - half, level_center[1] - half
    origin = (math.floor(left) - margin, math.floor(top) - margin)
    end = (math.ceil(left + 2 * half) + margin, math.ceil(top + 2 * half) + margin)
    region = _read_level(slide, plan, origin, (end[0] - origin[0], end[1] - origin[1]))
    box = (left - origin[0], top - origin[1], left - origin[0] + 2 * half, top - origin[1] + 2 * half)
    # Pillow widens its filter when it reduces, which is the anti-aliasing, and reads beyond the box where there are pixels.
    resized = Image.fromarray(region).resize((size_px, size_px), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized, dtype=np.uint8)


def iter_crops(
    slide: Slide, x: ArrayLike, y: ArrayLike, plan: ReadingPlan, *, size_px: int = CROP_PX, batch_size: int = 32
) -> Iterator[CropBatch]:
    """Read the crops round many points, in batches.

    The batches come in the order of the slide's tiles; ``CropBatch.rows`` puts them back into the order of the points.

    Args:
        x, y: Centres in level-0 px, (M,).
        plan: From ``plan_reading``.
        size_px: Side of a crop, S.
        batch_size: Crops a batch; the last one may be shorter.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    order = _tile_order(slide, plan, xs, ys)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        crops = np.full((len(rows), size_px, size_px, 3), 255, dtype=np.uint8)
        problems: list[str | None] = []
        for place, row in enumerate(rows):
            try:
                crops[place] = read_crop(slide, (xs[row], ys[row]), plan, size_px)
                problems.append(None)
            except SlideReadError as error:
                logger.debug("candidate %d: %s", row, error)
                problems.append(str(error))
        shares = [crop_coverage(slide, (xs[row], ys[row]), plan, size_px) for row in rows]
        yield CropBatch(rows, crops, np.array(shares), tuple(problems))


def crop_coverage(slide: Slide, center: tuple[float, float], plan: ReadingPlan, size_px: int = CROP_PX) -> float:
    """Share (0 to 1) of the crop round a level-0 point that lies inside the slide."""
    level_center = (center[0] / plan.downsample, center[1] / plan.downsample)
    side = size_px * plan.scale
    origin: tuple[float, float] = crop_origin(level_center, size_px)
    if plan.resampled:
        origin = (level_center[0] - side / 2, level_center[1] - side / 2)
    return coverage(origin, side, slide.level_dimensions[plan.level])


def paint_padding_white(crops_NSS3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint border rows and columns that are wholly zero white: the data sets pad with black, slides with glass.

    Args:
        crops_NSS3: Crops, (N, S, S, 3); not changed.
    """
    painted = crops_NSS3.copy()
    filled_NSS = (crops_NSS3 != 0).any(axis=3)
    for crop, filled in zip(painted, np.asarray(filled_NSS), strict=True):
        for along in (0, 1):
            line_filled = filled.any(axis=1 - along)
            first = int(np.argmax(line_filled)) if line_filled.any() else len(line_filled)
            last = len(line_filled) - int(np.argmax(line_filled[::-1]))
            lines = crop if along == 0 else crop.transpose(1, 0, 2)
            lines[:first] = 255
            lines[last:] = 255
    return painted


def read_crop_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file that holds one crop: (height, width, 3), RGB uint8.

    Raises:
        CropError: It is missing or no readable image; names the file.
    """
    return read_image(path)


def crop_hash(crop_SS3: NDArray[np.uint8]) -> str:
    """First 16 hex digits of the sha256 of a crop's pixels, as ``TrainingData.crops`` holds it."""
    return hashlib.sha256(np.ascontiguousarray(crop_SS3).tobytes()).hexdigest()[:16]


def sharpness(crops_NSS3: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Variance of the Laplacian of each crop's grey values, (N,): low where a crop is out of focus."""
    grey = crops_NSS3.astype(np.float32).mean(axis=3)
    middle = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * middle
    variance: NDArray[np.float64] = laplacian.var(axis=(1, 2)).astype(np.float64)
    return variance


def _read_level(slide: Slide, plan: ReadingPlan, origin: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a box given in px of the plan's level."""
    location = (round(origin[0] * plan.downsample), round(origin[1] * plan.downsample))
    return slide.read_region(location, plan.level, size)


def _tile_order(slide: Slide, plan: ReadingPlan, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows sorted by the tile (where there are none, 256 px square) of their centre, so that a tile cache is of use."""
    grid = slide.tile_grid(plan.level)
    width, height = (grid.tile_width, grid.tile_height) if grid is not None else (256, 256)
    column = np.floor(xs / plan.downsample / width)
    row = np.floor(ys / plan.downsample / height)
    return np.lexsort((xs, ys, column, row))
