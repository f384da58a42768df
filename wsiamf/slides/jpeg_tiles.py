"""JPEG tiles of a TIFF page, decoded by libjpeg-turbo with its warnings taken for errors, as OpenSlide takes them.

A decoder that goes on after a warning fills what it could not read with grey, which nobody can tell from a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_NO_TRANSFORM: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe's segment, by which a decoder knows three samples to be RGB; one of the tile's own, behind it, wins."""
_OUTPUT: Final = {1: "GRAY", 3: "RGB"}

JpegDecoder = Callable[[bytes], NDArray[np.uint8]]


def jpeg_decoder(page: Any) -> JpegDecoder | None:
    """What decodes a segment of a page, whole, to (height, width, samples), of the size that it states of itself.

    It raises ``ValueError`` for a segment that libjpeg has a warning or an error for.

    Args:
        page: tifffile's, with 8-bit JPEG segments; parts of it may be read from its file.

    Returns:
        None where the page needs what tifffile does beyond decoding: for four samples, and for NDPI's headless tiles.
    """
    n_samples = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.CONTIG else 1
    output = _OUTPUT.get(n_samples)
    if output is None or page.jpegheader is not None:
        return None
    is_rgb = n_samples == 3 and page.photometric == tifffile.PHOTOMETRIC.RGB and not page.is_jfif
    head = (_NO_TRANSFORM if is_rgb else b"") + (page.jpegtables or b"").removeprefix(_START).removesuffix(_END)

    def decode(data: bytes) -> NDArray[np.uint8]:
        if not data.startswith(_START):
            raise ValueError("it is no JPEG")
        whole = b"".join((_START, head, data[len(_START) :])) if head else data
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(whole, output, strict=True)
        return pixels

    return decode
