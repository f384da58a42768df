"""DICOM slides that OpenSlide refuses, through wsidicom (extra ``dicom``): JPEG-LS, RLE, HTJ2K and others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.errors import SlideReadError, UnsupportedSlideError
from wsiamf.slides.base import (
    DescribedSlide,
    SlideDescription,
    grid_of,
    level_properties,
    mean_downsample,
    on_background,
)
from wsiamf.slides.parts import SERIES_KEY
from wsiamf.slides.resolution import PIXEL_SPACING, Resolution, mpp_properties
from wsiamf.wording import one_line

_VENDOR: Final = "dicom"
_CHANNELS: Final = frozenset({1, 3})


class WsiDicomSlide(DescribedSlide):
    """A DICOM slide read by wsidicom, region by region.

    Args:
        path: The file or folder that was named.
        files: The files of its series.
        refused: Why OpenSlide does not read it, for messages.
        given: The caller's resolution, which overrides the file's.

    Raises:
        UnsupportedSlideError: wsidicom is not installed or refuses the files too, or their pixels are not 8-bit grey or RGB.
    """

    def __init__(self, path: Path, files: Sequence[Path], refused: str, given: Resolution | None = None) -> None:
        self._files = tuple(files)
        self._refused = refused
        self._slide: Any = _open(path, self._files, refused)
        try:
            self._pyramid = list(self._slide.pyramid.levels)
            super().__init__(path, _describe(self._slide, self._pyramid), given)
            self._check_samples()
        except Exception as error:
            self._slide.close()
            if isinstance(error, UnsupportedSlideError):
                raise
            raise UnsupportedSlideError(_refusal(path, refused, error)) from error

    @property
    def backend(self) -> str:
        return "wsidicom"

    def _check_samples(self) -> None:
        try:
            sample = self._region(0, 0, 0, 1, 1)
        except SlideReadError:
            return  # a damaged tile is named when it is read
        if sample.dtype != np.uint8 or sample.shape[2] not in _CHANNELS:
            raise UnsupportedSlideError(
                f"{self._path}: {sample.shape[2]} samples of {sample.dtype.itemsize * 8} bits a pixel, where 8-bit colour is "
                "read; convert it to 8-bit RGB."
            )

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        corner = self._level_corner(x, y, level)
        box, view, part = on_background(corner, (width, height), self.level_dimensions[level], self.background)
        if view.size:
            view[...] = self._region(level, part.x, part.y, part.width, part.height)
        return box

    def _region(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        """A box inside a level, in its px, (height, width, samples)."""
        try:
            pixels = np.asarray(
                self._slide.read_region((x, y), self._pyramid[level].level, (width, height), as_array=True)
            )
        except Exception as error:  # wsidicom's errors have no root, and codecs raise what they like
            raise SlideReadError(
                f"{self.name}: {width} x {height} px at {(x, y)} of level {level} cannot be decoded: {one_line(error)}."
            ) from error
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def duplicate(self) -> WsiDicomSlide:
        return WsiDicomSlide(self._local_path, self._files, self._refused, self._given)

    def _release(self) -> None:
        self._slide.close()


def _open(path: Path, files: Sequence[Path], refused: str) -> Any:
    try:
        from wsidicom import WsiDicom  # noqa: PLC0415 - an extra: only what OpenSlide refuses needs it
    except ImportError as error:
        raise UnsupportedSlideError(
            f"{path}: OpenSlide cannot open it: {refused}. wsidicom may, but is not installed: "
            "run pip install 'wsiamf[dicom]'."
        ) from error
    try:
        return WsiDicom.open([os.fspath(file) for file in files])
    except Exception as error:  # wsidicom's errors have no root
        raise UnsupportedSlideError(_refusal(path, refused, error)) from error


def _refusal(path: Path, refused: str, error: Exception) -> str:
    return (
        f"{path}: OpenSlide cannot open it: {refused}; wsidicom neither: {one_line(error)}. "
        "Copy it again if it may be incomplete, else convert it to a format that OpenSlide reads."
    )


def _describe(slide: Any, pyramid: Sequence[Any]) -> SlideDescription:
    dimensions = tuple((int(level.size.width), int(level.size.height)) for level in pyramid)
    downsamples = tuple(mean_downsample(dimensions[0], size) for size in dimensions)
    grids = tuple(
        grid_of(size, (int(level.tile_size.width), int(level.tile_size.height)))
        for level, size in zip(pyramid, dimensions, strict=True)
    )
    return SlideDescription(
        vendor=_VENDOR,
        level_dimensions=dimensions,
        level_downsamples=downsamples,
        tile_grids=grids,
        properties=level_properties(_VENDOR, dimensions, downsamples, grids) | _stated(slide, pyramid[0]),
    )


def _stated(slide: Any, finest: Any) -> dict[str, str]:
    properties = {SERIES_KEY: str(slide.uids.series_instance)} if slide.uids is not None else {}
    if finest.mpp is not None:
        properties |= mpp_properties(PIXEL_SPACING, float(finest.mpp.width), float(finest.mpp.height))
    return properties
