"""Pictures as the page holds them: small files, together below a budget whatever they show; equal pixels give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from wsiamf.report.template import data_uri

Pixels = NDArray[np.uint8]

CROP_SIDE_PX: Final = 160
"""A larger crop is reduced to this side."""
OVERVIEW_SIDE_PX: Final = 1280
CROPS_BYTES: Final = 800_000
"""Of all crops together, before base64 adds a third."""
OVERVIEW_BYTES: Final = 300_000
_QUALITIES: Final = (85, 75, 60, 45, 30, 15, 5)


def crop_uris(crops: Mapping[int, Pixels], uses: Mapping[int, int]) -> dict[int, Markup]:
    """Crops as addresses of JPEG pictures.

    Args:
        crops: (S, S, 3) RGB uint8 by row.
        uses: How often the page shows each.

    Returns:
        By row; of one quality, the best that keeps within ``CROPS_BYTES``.
    """
    reduced = {row: _reduced(crop, CROP_SIDE_PX) for row, crop in crops.items()}
    encoded: dict[int, bytes] = {}
    for quality in _QUALITIES:
        encoded = {row: _jpeg(image, quality) for row, image in reduced.items()}
        if sum(len(content) * uses.get(row, 1) for row, content in encoded.items()) <= CROPS_BYTES:
            break
    return {row: data_uri("jpeg", content) for row, content in encoded.items()}


def overview_uri(pixels: Pixels) -> Markup:
    """A slide's overview as the address of a JPEG picture of at most ``OVERVIEW_BYTES`` and ``OVERVIEW_SIDE_PX``.

    Args:
        pixels: (height, width, 3), RGB uint8.
    """
    image = _reduced(pixels, OVERVIEW_SIDE_PX)
    content = b""
    for quality in _QUALITIES:
        content = _jpeg(image, quality)
        if len(content) <= OVERVIEW_BYTES:
            break
    return data_uri("jpeg", content)


def palette_uri(index: Pixels, palette: NDArray[np.uint8]) -> Markup:
    """A map of few colours as the address of a PNG.

    Args:
        index: (height, width), numbers of colours; 0 is transparent.
        palette: (256, 3), RGB.
    """
    image = Image.new("P", (index.shape[1], index.shape[0]))
    image.putpalette(palette.tobytes())
    image.frombytes(index.tobytes())
    stream = io.BytesIO()
    image.save(stream, format="PNG", transparency=0, optimize=True)
    return data_uri("png", stream.getvalue())


def _reduced(pixels: Pixels, side_px: int) -> Image.Image:
    image = Image.fromarray(pixels)
    if max(image.size) > side_px:
        image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return image


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality)  # WebP is a third smaller, and takes ten times as long
    return stream.getvalue()
