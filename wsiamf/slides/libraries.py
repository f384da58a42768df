"""What the library that reads slides can do, for ``wsiamf doctor``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import openslide
import openslide.lowlevel
import tifffile

from wsiamf.errors import UnsupportedSlideError
from wsiamf.slides.opening import open_slide

_FORMATS: Final = (
    *("aperio", "dicom", "generic-tiff", "hamamatsu", "leica", "mirax", "philips-tiff", "sakura", "trestle", "ventana"),
    "zeiss",
)
"""OpenSlide's words for the formats it has had; its library has no call that lists them."""


def openslide_version() -> str:
    """Of the C library, not of its Python package."""
    return str(openslide.__library_version__)


def openslide_formats() -> list[str]:
    """The formats whose names stand in the library; empty where its file cannot be found."""
    library = Path(str(openslide.lowlevel._lib._name))
    if not library.is_absolute() or not library.is_file():
        return []
    code = library.read_bytes()
    return [name for name in _FORMATS if b"\0" + name.encode() + b"\0" in code]


def read_made_slide() -> None:
    """Write a small tiled TIFF and read it through OpenSlide.

    Raises:
        UnsupportedSlideError: OpenSlide does not open it, or reads other pixels.
    """
    pixels = np.full((256, 256, 3), (180, 90, 160), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.tiff"
        tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="lzw")
        with open_slide(path, mpp=0.25) as slide:
            backend, read = slide.backend, np.asarray(slide.read_region((0, 0), 0, (256, 256)))
    if backend != "openslide" or not np.array_equal(read[..., :3], pixels):
        raise UnsupportedSlideError(f"OpenSlide {openslide_version()} does not read a plain tiled TIFF as it is.")
