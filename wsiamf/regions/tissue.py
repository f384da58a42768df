"""The tissue mask: stained tissue on a low-resolution image of the slide, outlined along its pixel edges."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from wsiamf.geometry import SlideFrame
from wsiamf.regions.outline import mask_outline
from wsiamf.regions.region import Region, multipolygon, slide_box

_DARK_LEVEL: Final = 30  # padding and scanner-black: every channel below this
_GLASS_LEVEL = 200  # glass: every channel above this ...
_GLASS_TINT = 0.04  # ... and hardly coloured (optical density between channels)
_INK_LEAD = 10  # green above red by this many grey levels: green, cyan or blue ink, never H&E
_MIN_THRESHOLD, _MAX_THRESHOLD = 0.025, 0.06  # rails of Otsu's threshold, in optical density
_MIN_TISSUE_MM2 = 0.01
_MIN_HOLE_MM2 = 0.005


def tissue_region(thumbnail: NDArray[np.uint8], downsample: tuple[float, float], frame: SlideFrame) -> Region:
    """Find stained tissue on a low-resolution image of a whole slide.

    What absorbs unevenly over the channels is stained; Otsu's method sets the threshold between rails, so that bare
    glass gives an empty region and a slide full of tissue all of it. Black padding, grey dirt and green, cyan or blue
    ink are no tissue. Specks below 0.01 mm2 are left out, holes below 0.005 mm2 filled.

    Args:
        thumbnail: The whole of level 0 at low resolution (about 8 um per px), shape (height, width, 3), RGB uint8.
        downsample: Level-0 px per thumbnail px in (x, y).
        frame: The slide's frame.

    Returns:
        The region in level-0 px along the edges of thumbnail pixels; empty, with a note, where there is no tissue.
    """
    return region_of_mask(tissue_mask(thumbnail, downsample, frame), downsample, frame)


def tissue_mask(thumbnail: NDArray[np.uint8], downsample: tuple[float, float], frame: SlideFrame) -> NDArray[np.bool_]:
    """Which pixels of a thumbnail are tissue, (height, width); arguments as of ``tissue_region``."""
    return _without_small_parts(_stained(thumbnail), frame.mm2_from_px2(downsample[0] * downsample[1]))


def region_of_mask(mask: NDArray[np.bool_], downsample: tuple[float, float], frame: SlideFrame) -> Region:
    """A tissue mask as a region, as ``tissue_region`` gives it."""
    outline = shapely.transform(mask_outline(mask), lambda xy: xy * np.asarray(downsample, dtype=np.float64))
    if not shapely.covers(slide_box(frame), outline):  # the last thumbnail px may hang over the edge
        outline = multipolygon(shapely.intersection(outline, slide_box(frame)))
    notes = ("No tissue was found on the slide.",) if outline.is_empty else ()
    return Region(outline, "tissue", notes)


def _stained(thumbnail: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask (height, width) of stained pixels, single ones smoothed away by a 3 x 3 majority."""
    # By channel: NumPy takes ten times as long for extremes over the last of three axes.
    rgb = np.ascontiguousarray(thumbnail.transpose(2, 0, 1))
    red, green, blue = rgb
    color = _color_density(rgb, _glass_color(rgb))
    lightest = np.maximum(np.maximum(red, green), blue)
    candidate = (lightest >= _DARK_LEVEL) & (green.astype(np.int16) - red <= _INK_LEAD)
    threshold = min(max(_otsu(color[candidate]), _MIN_THRESHOLD), _MAX_THRESHOLD)
    mask = candidate & (color > threshold)
    neighbours = ndimage.uniform_filter(mask.astype(np.float32), size=3, mode="nearest")
    return np.asarray(neighbours > 0.5)


def _glass_color(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour of bare glass relative to its brightest channel, of (3, height, width); (1, 1, 1) where there is none."""
    neutral = np.ones(3, dtype=np.float32)
    red, green, blue = rgb
    lowest = np.minimum(np.minimum(red, green), blue)
    bright = rgb[:, lowest >= max(_GLASS_LEVEL, float(np.percentile(lowest, 90)))]
    if not bright.size:
        return neutral
    color = np.median(bright, axis=1).astype(np.float32)
    tint = float(np.log10(color.max() / color.min()))
    return np.asarray(color / color.max(), dtype=np.float32) if tint < _GLASS_TINT else neutral


def _color_density(rgb: NDArray[np.uint8], glass: NDArray[np.float32]) -> NDArray[np.float32]:
    """Optical density between the most and the least absorbed channel; 0 for grey of any lightness."""
    levels = np.log10(np.arange(1, 257, dtype=np.float32)[:, None] / glass)  # by grey level and channel
    red, green, blue = (levels[values, channel] for channel, values in enumerate(rgb))
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return np.asarray(highest - lowest, dtype=np.float32)


def _otsu(values: NDArray[np.float32]) -> float:
    """The threshold that parts ``values`` into two classes of the greatest variance between them; 0 for no values."""
    counts, edges = np.histogram(values, bins=256, range=(0.0, 0.64))
    if not counts.sum():
        return 0.0
    centers = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centers) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * centers)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2.0
    return float(edges[1 + int(np.argmax(between))])


def _without_small_parts(mask: NDArray[np.bool_], pixel_mm2: float) -> NDArray[np.bool_]:
    tissue = _large_parts(mask, _MIN_TISSUE_MM2 / pixel_mm2, np.ones((3, 3), dtype=np.bool_))
    return ~_large_parts(~tissue, _MIN_HOLE_MM2 / pixel_mm2, None)


def _large_parts(mask: NDArray[np.bool_], min_pixels: float, structure: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask, structure)
    large = np.bincount(labels.ravel()) >= min_pixels
    large[0] = False
    return np.asarray(large[labels])
