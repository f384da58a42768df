"""Crop images: files that hold one small picture, not a slide."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsiamf.errors import CropError
from wsiamf.slides.interface import WHITE

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP")
MAX_PIXELS: Final = 1 << 26
"""Pictures beyond this (64 Mpx) are no crops; they are refused before they are decoded."""

_SIXTEEN_BIT: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
EIGHT_BIT_MODES: Final = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
)
_TRANSPARENT: Final = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
# Pillow's decoders raise these for damaged files; SyntaxError is its word for a broken PNG.
DECODING_FAILURES: Final = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, struct.error)
_BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a PNG, JPEG, TIFF or BMP file that holds one picture.

    Grey becomes three equal channels, 16-bit grey keeps its high byte, palettes are looked up, and what is transparent is laid
    over white.

    Args:
        path: The file.

    Returns:
        (height, width, 3), RGB uint8.

    Raises:
        CropError: It is missing, no readable picture, a stack of several, of a sample type without a defined display
            range, or larger than ``MAX_PIXELS``; names the file.
    """
    try:
        with open_undecoded(path, FORMATS) as image:
            _check(path, image)
            return image_rgb(image)
    except CropError:
        raise
    except FileNotFoundError as error:
        raise CropError(f"{path}: no such image file.") from error
    except _BOMBS as error:
        raise CropError(_too_large(path)) from error
    except DECODING_FAILURES as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CropError(f"{path}: not a readable image ({' '.join(reason.split())}).") from error


def open_undecoded(path: Path, formats: tuple[str, ...]) -> Image.Image:
    """Open a picture in one of Pillow's formats; Pillow's warning of its size is left out, which the caller has to check."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=formats)


def _check(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise CropError(_too_large(path))
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise CropError(f"{path}: a stack of {pages} images, where one is wanted; save each as a file of its own.")
    if image.mode not in EIGHT_BIT_MODES | _SIXTEEN_BIT:
        raise CropError(f"{path}: samples of type {image.mode!r} have no defined white; save it as 8-bit RGB.")


def _too_large(path: Path) -> str:
    return f"{path}: more than {MAX_PIXELS:,} pixels are no crop; is it a slide?"


def image_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """An open picture as RGB uint8, (height, width, 3); what is transparent is laid over white."""
    if image.mode in _SIXTEEN_BIT:
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return np.array(Image.alpha_composite(Image.new("RGBA", image.size, (*WHITE, 255)), rgba).convert("RGB"))
    return np.array(image.convert("RGB"))
