"""Boxes of COCO-like files: MIDOG writes two corners, COCO a corner and a size, and no key says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Convention = Literal["xyxy", "xywh"]

_MOST_FIGURE_PX = 400.0  # 100 um at 0.25 um/px: wider boxes are not round figures
_OVERHANG_PX = 50.0  # MIDOG's clipped boxes hang over the edge by up to 30 px


def as_box(value: Any) -> tuple[float, float, float, float] | None:
    """Four finite numbers, or None."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return None
    try:
        a, b, c, d = (float(v) for v in value)
    except OverflowError:  # an integer beyond the range of a float
        return None
    return (a, b, c, d) if np.isfinite([a, b, c, d]).all() else None


def box_convention(
    boxes: NDArray[np.float64], image_sizes: NDArray[np.float64], areas: NDArray[np.float64], *, coco_keys: bool
) -> Convention | None:
    """Find out how a whole file writes its boxes.

    Evidence in falling order: in how many boxes the last two numbers can be the far corner, or a size that stays in the
    image; the ``area`` that COCO files state; in how many the sides can be a figure's; which reading makes boxes more alike
    and more square (those round mitotic figures are). MIDOG's corners where nothing decides.

    Args:
        boxes: (N, 4), finite.
        image_sizes: (N, 2) width and height of each box's image in px; NaN where unknown.
        areas: (N,) stated areas in px squared; NaN where there is none.
        coco_keys: Whether the annotations carry COCO's ``iscrowd``, which MIDOG's do not.

    Returns:
        None where that key alone speaks for COCO's boxes, and the likeness of the boxes against them.
    """
    if len(boxes) == 0:
        return "xyxy"
    corners, sizes = boxes[:, 2:] - boxes[:, :2], boxes[:, 2:]
    beyond = boxes[:, :2] + sizes > image_sizes + _OVERHANG_PX  # False where the size is unknown
    fit_corners = int((corners > 0).all(axis=1).sum())
    fit_sizes = int(((sizes > 0).all(axis=1) & ~beyond.any(axis=1)).sum())
    unlike_corners, unlike_sizes = _unevenness(corners), _unevenness(sizes)
    evidence: Sequence[tuple[float, float]] = (
        (fit_corners, fit_sizes),
        (_agreeing(corners, areas), _agreeing(sizes, areas)),
        (_of_figures(corners), _of_figures(sizes)),
    )
    for for_corners, for_sizes in evidence:
        if for_corners != for_sizes:
            return "xyxy" if for_corners > for_sizes else "xywh"
    if unlike_corners <= unlike_sizes:
        return None if coco_keys and unlike_corners < unlike_sizes else "xywh" if coco_keys else "xyxy"
    return "xywh"


def centres(boxes: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """(N, 2) Centres of boxes in px; NaN for a box without a positive size."""
    size = boxes[:, 2:] - boxes[:, :2] if convention == "xyxy" else boxes[:, 2:]
    with np.errstate(invalid="ignore"):
        proper = (size > 0).all(axis=1, keepdims=True)
    return np.where(proper, boxes[:, :2] + size / 2, np.nan)


def _agreeing(sizes: NDArray[np.float64], areas: NDArray[np.float64]) -> int:
    return int(np.isclose(sizes.prod(axis=1), areas, rtol=0.01).sum())


def _of_figures(sizes: NDArray[np.float64]) -> int:
    return int(((sizes > 0) & (sizes <= _MOST_FIGURE_PX)).all(axis=1).sum())


def _unevenness(sizes: NDArray[np.float64]) -> float:
    off_square = np.abs(sizes[:, 0] - sizes[:, 1]).sum()
    return float(off_square + np.abs(sizes - np.median(sizes, axis=0)).sum())
