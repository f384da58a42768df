"""Slides whose colours say where a pixel lies, so that a reading that is off by one pixel cannot pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

UM_PER_CM = 10_000.0


def coordinate_coded(width: int, height: int) -> NDArray[np.uint8]:
    """An image, (height, width, 3), that names each pixel's place.

    R is the low byte of x, G the low byte of y, B the two high nibbles: ``(x >> 8) << 4 | (y >> 8)``. Sides up to 4096 px
    are told apart everywhere.
    """
    if max(width, height) > 4096:
        raise ValueError("positions are unique only up to 4096 px")
    y, x = np.mgrid[:height, :width]
    return np.stack([x & 255, y & 255, (x >> 8) << 4 | (y >> 8)], axis=2).astype(np.uint8)


def write_pyramid_tiff(
    path: Path,
    pixels: NDArray[np.uint8],
    mpp: float | tuple[float, float] | None = 0.25,
    *,
    tile: int = 256,
    levels: int = 3,
    compression: str | None = "deflate",
    **page_options: Any,
) -> Path:
    """Write a lossless tiled TIFF pyramid that OpenSlide opens as generic-tiff.

    Lower levels are every second pixel of the one above (``[::2, ::2]``, not averaged), so that each still names its place.

    Args:
        pixels: Level 0, (height, width, 3).
        mpp: um per level-0 px, one value or (x, y); None leaves the file without resolution.
        tile: Side of a tile in px, a multiple of 16.
        levels: Number of levels, each half the size of the one before.
        compression: tifffile's word: ``deflate``, ``lzw``, ... or None.
        page_options: Passed on to ``tifffile.TiffWriter.write`` for every page.

    Returns:
        ``path``.
    """
    options = {"photometric": "rgb", "tile": (tile, tile), "compression": compression, "metadata": None} | page_options
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            writer.write(
                np.ascontiguousarray(pixels[:: 2**level, :: 2**level]),
                subfiletype=int(level > 0),
                **_resolution(mpp, 2**level),
                **options,
            )
    return path


def write_plain_tiff(
    path: Path,
    pixels: NDArray[np.uint8],
    mpp: float | tuple[float, float] | None = 0.25,
    *,
    rows_per_strip: int = 64,
    compression: str | None = "deflate",
    **page_options: Any,
) -> Path:
    """Write a lossless one-page TIFF in strips, as MIDOG's regions are: OpenSlide refuses it, tifffile reads it.

    Args:
        pixels: (height, width, 3) or (height, width) for grey.
        mpp: um per px, one value or (x, y); None leaves the file without resolution.
        rows_per_strip: Height of a strip in px.
        compression: tifffile's word: ``deflate``, ``lzw``, ... or None.
        page_options: Passed on to ``tifffile.imwrite``.

    Returns:
        ``path``.
    """
    options = {
        "photometric": "rgb" if pixels.ndim == 3 else "minisblack",
        "rowsperstrip": rows_per_strip,
        "compression": compression,
        "metadata": None,
    }
    tifffile.imwrite(path, pixels, **(options | _resolution(mpp, 1) | page_options))
    return path


def _resolution(mpp: float | tuple[float, float] | None, downsample: int) -> dict[str, Any]:
    if mpp is None:
        return {}
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    return {
        "resolution": (UM_PER_CM / (x * downsample), UM_PER_CM / (y * downsample)),
        "resolutionunit": "CENTIMETER",
    }
