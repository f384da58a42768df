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

_UM_PER_UNIT: Final = {"inch": 25_400.0, "centimeter": 10_000.0}

MppStatus = Literal["ok", "missing", "absurd", "anisotropic"]


@dataclass(frozen=True)
class Resolution:
    """What a file, or the caller, says about a slide's resolution.

    Args:
        x, y: um per level-0 px of each axis as stated, believable or not; None where nothing is.
        stated_by: Where they stand: a property's key, ``TIFF_TAG`` or ``GIVEN``; ``NO_SOURCE`` where nothing is stated.
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
    """The resolution that a file states: OpenSlide's ``mpp-x, mpp-y`` first, then the TIFF tags.

    Args:
        properties: Under OpenSlide's keys, as in ``Slide.properties``.
    """
    x, y = (_number(properties.get(key)) for key in MPP_KEYS)
    if x is not None and y is not None:
        return Resolution(x, y, MPP_KEYS[0])
    unit = _UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", ""))
    x, y = (_number(properties.get(key)) for key in ("tiff.XResolution", "tiff.YResolution"))
    if unit is None or not x or not y:
        return Resolution()
    return Resolution(unit / x, unit / y, TIFF_TAG)


def _believable(mpp: float) -> bool:
    return math.isfinite(mpp) and MPP_RANGE[0] <= mpp <= MPP_RANGE[1]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
