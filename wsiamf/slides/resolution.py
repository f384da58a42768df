"""um per pixel: where a file states it, which values are believed, and the refusal to guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from wsiamf.errors import MppError

MPP_RANGE: Final = (0.05, 20.0)
"""um per px; outside it a value is no microscope's (72 dpi would be 353 um per px)."""

MAX_ANISOTROPY: Final = 0.02
"""Largest relative difference between the axes; MIDOG's files differ by 0.4 %."""

GIVEN: Final = "given"
TIFF_TAG: Final = "tiff resolution tag"
NO_SOURCE: Final = "none"
MPP_KEYS: Final = ("openslide.mpp-x", "openslide.mpp-y")
OME_SIZE: Final = "ome.PhysicalSizeX"
NGFF_SCALE: Final = "ngff.scale"
PIXEL_SPACING: Final = "dicom.PixelSpacing"
PNG_PHYS: Final = "png.pHYs"
JFIF_DENSITY: Final = "jfif.density"
EXIF_RESOLUTION: Final = "exif.resolution"
BMP_RESOLUTION: Final = "bmp.resolution"
OBJECTIVE_POWER: Final = "objective power"
POWER_KEY: Final = "openslide.objective-power"

UM_AT_POWER_1: Final = 10.0
"""um per px times objective power: 0.25 at 40x, 0.5 at 20x. Scanners differ from it by 10 % and more."""

_STATED: Final = (OME_SIZE, NGFF_SCALE, PIXEL_SPACING, PNG_PHYS, JFIF_DENSITY, EXIF_RESOLUTION, BMP_RESOLUTION)
"""What states um per px where OpenSlide does not read the file; a slide has one of them at most."""

_UM_PER_UNIT: Final = {"inch": 25_400.0, "centimeter": 10_000.0}

MppStatus = Literal["ok", "missing", "absurd", "anisotropic"]


@dataclass(frozen=True)
class Resolution:
    """What a file, or the caller, says about a slide's resolution.

    Args:
        x, y: um per level-0 px of each axis as stated, believable or not; None where nothing is.
        stated_by: Where they stand: a property's key, ``TIFF_TAG``, ``OBJECTIVE_POWER`` or ``GIVEN``; ``NO_SOURCE`` where
            nothing is stated.
    """

    x: float | None = None
    y: float | None = None
    stated_by: str = NO_SOURCE

    @property
    def status(self) -> MppStatus:
        """Whether the values can be used, and if not, why."""
        if self.x is None or self.y is None:
            return "missing"
        if not (_believable(self.x) and _believable(self.y)):
            return "absurd"
        return "anisotropic" if abs(self.x - self.y) > MAX_ANISOTROPY * (self.x + self.y) / 2 else "ok"

    @property
    def source(self) -> str:
        """``stated_by`` where the values can be used, else ``NO_SOURCE``."""
        return self.stated_by if self.status == "ok" else NO_SOURCE

    @property
    def positive(self) -> tuple[float, float] | None:
        """um per px of each axis as stated, a microscope's or not; None where they are no finite lengths."""
        if self.x is None or self.y is None or not (0 < self.x < math.inf and 0 < self.y < math.inf):
            return None
        return self.x, self.y

    def mpp(self, slide_name: str) -> float:
        """um per level-0 px, the mean of both axes.

        Raises:
            MppError: The values cannot be used; names the slide, the values and the remedy.
        """
        if self.x is None or self.y is None:
            raise MppError(f"{slide_name}: states no resolution; give the um per pixel with --mpp.")
        if self.status != "ok":
            raise MppError(
                f"{slide_name}: {self._reason()} ({self.stated_by}: {self.x:.4g} x {self.y:.4g} um/px); "
                "give the um per pixel with --mpp."
            )
        return (self.x + self.y) / 2

    def _reason(self) -> str:
        if self.status == "absurd":
            return f"its resolution is no microscope's, outside {MPP_RANGE[0]:g} to {MPP_RANGE[1]:g} um/px"
        return f"its pixels are not square, the axes differ by more than {MAX_ANISOTROPY:.0%}"


def given_resolution(mpp: float) -> Resolution:
    """The resolution that a caller gives, which overrides the file's.

    Raises:
        MppError: It is not a number in ``MPP_RANGE``.
    """
    if not _believable(mpp):
        raise MppError(f"--mpp {mpp:g}: must lie between {MPP_RANGE[0]:g} and {MPP_RANGE[1]:g} um per pixel.")
    return Resolution(float(mpp), float(mpp), GIVEN)


def stated_resolution(properties: Mapping[str, str]) -> Resolution:
    """The resolution that a file states: OpenSlide's ``mpp-x, mpp-y`` first, then OME's and others', then the TIFF tags.

    Args:
        properties: Under OpenSlide's keys, as in ``Slide.properties``; what other libraries read is under ``mpp_properties``.
    """
    x, y = (_number(properties.get(key)) for key in MPP_KEYS)
    if x is not None and y is not None:
        return Resolution(x, y, MPP_KEYS[0])
    for source in _STATED:
        x, y = (_number(properties.get(key)) for key in _um_keys(source))
        if x is not None and y is not None:
            return Resolution(x, y, source)
    unit = _UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", ""))
    x, y = (_number(properties.get(key)) for key in ("tiff.XResolution", "tiff.YResolution"))
    if unit is None or not x or not y:
        return Resolution()
    return Resolution(unit / x, unit / y, TIFF_TAG)


def slide_resolution(properties: Mapping[str, str]) -> Resolution:
    """The resolution to go by: the stated one, and as a last resort that of the objective power.

    The power is asked only where nothing is stated, or only a resolution tag that is no microscope's (72 dpi): a program's
    default says nothing. Pixels that are not square, or an absurd value of the scanner's own, are never replaced by it.

    Args:
        properties: As of ``stated_resolution``.
    """
    stated = stated_resolution(properties)
    says_nothing = stated.status == "missing" or (stated.status == "absurd" and stated.stated_by == TIFF_TAG)
    power = _number(properties.get(POWER_KEY))
    if not says_nothing or power is None or not power > 0 or not _believable(UM_AT_POWER_1 / power):
        return stated
    return Resolution(UM_AT_POWER_1 / power, UM_AT_POWER_1 / power, OBJECTIVE_POWER)


def mpp_properties(source: str, x: float, y: float) -> dict[str, str]:
    """The entries of ``Slide.properties`` that state um per px of each axis.

    Args:
        source: Where they stand in the file: ``OME_SIZE``, ``NGFF_SCALE``, ...
        x, y: um per level-0 px.
    """
    return dict(zip(_um_keys(source), (f"{x:.17g}", f"{y:.17g}"), strict=True))


def _um_keys(source: str) -> tuple[str, str]:
    kind = source.partition(".")[0]
    return f"{kind}.mpp-x", f"{kind}.mpp-y"


def _believable(mpp: float) -> bool:
    return math.isfinite(mpp) and MPP_RANGE[0] <= mpp <= MPP_RANGE[1]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
