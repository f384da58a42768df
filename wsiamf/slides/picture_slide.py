"""Regions saved as PNG, JPEG or BMP, through Pillow: one level, decoded whole when the slide is opened."""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from wsiamf.errors import SlideReadError, UnsupportedSlideError
from wsiamf.slides.base import DescribedSlide, SlideDescription, level_properties, on_background
from wsiamf.slides.images import DECODING_FAILURES, EIGHT_BIT_MODES, image_rgb, open_undecoded
from wsiamf.slides.resolution import (
    BMP_RESOLUTION,
    EXIF_RESOLUTION,
    JFIF_DENSITY,
    PNG_PHYS,
    Resolution,
    mpp_properties,
)

_log = logging.getLogger(__name__)

MAX_PIXELS: Final = 1 << 26
"""Pictures beyond this (64 Mpx, 4.2 mm2 at 0.25 um/px) are refused: they would stand in memory whole."""

_SIGNATURES: Final = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}
_UM_PER_INCH: Final = 25_400.0
_PNG_DEPTH_AT: Final = 24  # bytes before IHDR's bit depth
_UPRIGHT: Final = 1
_JFIF_LENGTHS: Final = frozenset({1, 2})  # units of inch and cm; 0 states an aspect alone


def picture_format(path: Path) -> str | None:
    """``PNG``, ``JPEG`` or ``BMP`` by a file's first bytes; None for any other.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


class PictureSlide(DescribedSlide):
    """A PNG, JPEG or BMP: 8-bit grey or colour, pixels as they are stored (an EXIF orientation is not applied).

    Args:
        path: The file.
        given: The caller's resolution, which overrides the file's.

    Raises:
        UnsupportedSlideError: It is damaged or incomplete, holds several pictures, has more than ``MAX_PIXELS``, or samples
            of 16 bits.
    """

    def __init__(self, path: Path, given: Resolution | None = None) -> None:
        self._take(path, given, _read(path))

    def _take(self, path: Path, given: Resolution | None, picture: _Picture) -> None:
        self._picture = picture
        height, width = picture.pixels.shape[:2]
        vendor = picture.format.lower()
        description = SlideDescription(
            vendor=vendor,
            level_dimensions=((width, height),),
            level_downsamples=(1.0,),
            tile_grids=(None,),
            properties=level_properties(vendor, ((width, height),), (1.0,), (None,)) | picture.stated,
        )
        super().__init__(path, description, given)

    @property
    def backend(self) -> str:
        return "pillow"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:  # noqa: ARG002 - one level
        box, view, part = on_background((x, y), (width, height), self.dimensions, self.background)
        view[...] = self._picture.pixels[part.y : part.y + part.height, part.x : part.x + part.width]
        return box

    def duplicate(self) -> PictureSlide:
        """Another slide on the same pixels in memory."""
        if not self._local_path.exists():
            raise SlideReadError(f"{self._path}: cannot be opened again.")
        twin = object.__new__(PictureSlide)
        twin._take(self._local_path, self._given, self._picture)
        return twin

    def _release(self) -> None:
        self._picture = _Picture(self._picture.format, np.empty((0, 0, 3), np.uint8), {})


@dataclass(frozen=True)
class _Picture:
    """A decoded file.

    Args:
        format: Pillow's word for it.
        pixels: (height, width, 3), RGB uint8.
        stated: The properties that state its resolution.
    """

    format: str
    pixels: NDArray[np.uint8]
    stated: dict[str, str]


def _read(path: Path) -> _Picture:
    kind = picture_format(path)
    try:
        with open_undecoded(path, (kind,) if kind else ()) as image:
            _check(path, image)
            _tell_orientation(path, image)
            return _Picture(str(kind), image_rgb(image), _stated(image))
    except UnsupportedSlideError:
        raise
    except Image.DecompressionBombError as error:
        raise UnsupportedSlideError(_too_large(path, "more")) from error
    except DECODING_FAILURES as error:
        raise UnsupportedSlideError(
            f"{path}: not a readable {kind} picture ({' '.join(str(error).split())}); copy it again if it may be incomplete."
        ) from error


def _check(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnsupportedSlideError(_too_large(path, f"{image.width * image.height:,} pixels, more"))
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise UnsupportedSlideError(f"{path}: holds {pages} pictures, not one slide; save the one by itself.")
    if image.mode not in EIGHT_BIT_MODES or (image.format == "PNG" and _png_depth(path) > 8):
        raise UnsupportedSlideError(
            f"{path}: samples of 16 bits or more, where 8-bit colour is read; save it as 8-bit RGB."
        )


def _too_large(path: Path, how_many: str) -> str:
    return (
        f"{path}: {how_many} than the {MAX_PIXELS:,} that a picture without tiles may have; convert it to a tiled TIFF, for "
        "instance with `vips tiffsave --tile --pyramid`."
    )


def _png_depth(path: Path) -> int:
    """Bits per sample, which Pillow hides where it reduces them to 8."""
    with path.open("rb") as stream:
        stream.seek(_PNG_DEPTH_AT)
        depth: int = struct.unpack("B", stream.read(1))[0]
    return depth


def _tell_orientation(path: Path, image: Image.Image) -> None:
    orientation = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    if orientation != _UPRIGHT:
        _log.warning(
            "%s: its EXIF orientation is %s, which is not applied: points must lie in the pixels as they are stored.",
            path.name,
            orientation,
        )


def _stated(image: Image.Image) -> dict[str, str]:
    """The properties of the resolution, believable or not; none where the file states none."""
    source, dots_per_inch = _density(image)
    if source is None or not all(math.isfinite(value) and value > 0 for value in dots_per_inch):
        return {}
    return mpp_properties(source, *(_UM_PER_INCH / value for value in dots_per_inch))


def _density(image: Image.Image) -> tuple[str | None, tuple[float, float]]:
    """Where dots per inch are stated, and how many along x and y."""
    stated = image.info.get("dpi")
    if image.format != "JPEG":
        source = PNG_PHYS if image.format == "PNG" else BMP_RESOLUTION
        return (source, _pair(stated)) if stated else (None, (0.0, 0.0))
    if image.info.get("jfif_unit") in _JFIF_LENGTHS:
        return JFIF_DENSITY, _pair(stated)
    exif = image.getexif()
    x, y = (exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
    inches = {2: 1.0, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2))
    if not x or not y or inches is None:
        return None, (0.0, 0.0)
    return EXIF_RESOLUTION, (float(x) * inches, float(y) * inches)


def _pair(value: Any) -> tuple[float, float]:
    x, y = value
    return float(x), float(y)
