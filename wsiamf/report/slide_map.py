"""What is drawn over a slide's overview: figures, outlines, hotspots and a scale bar, in units of the drawing.

The drawing's longer side is 1000 units; lines keep their width on the screen whatever its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from wsiamf.classes import AMF, NMF
from wsiamf.geometry import Bounds
from wsiamf.report.wording import number
from wsiamf.summary import random_rows

Floats = NDArray[np.float64]

SIDE: Final = 1000.0
MOST_FIGURES: Final = 12_000
"""Drawn at most, by a random sample: each takes 10 bytes."""
_MOST_CORNERS: Final = 6_000
_WORTH_A_TRY: Final = 0.9  # of the corners that the tolerance before left
_BAR_SHARE: Final = 0.22  # of the width, at most
_STEPS: Final = (5, 2, 1)


@dataclass(frozen=True)
class Box:
    """A rectangle of the drawing with its label."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class ScaleBar:
    """A length on the slide."""

    length: float
    label: str


@dataclass(frozen=True)
class SlideMap:
    """Everything over the picture.

    Args:
        width, height: Of the drawing.
        amf, nmf: Paths of dots.
        n_drawn: Number of figures drawn, of ``n_figures``.
        area: Path of the outline of what counts; empty where it is not known.
        fields: Path and name of each named field, and where its name stands.
        hotspots: By rank.
        bar: Its scale bar.
    """

    width: float
    height: float
    amf: str
    nmf: str
    n_drawn: int
    n_figures: int
    area: str
    fields: tuple[tuple[str, Box], ...]
    hotspots: tuple[Box, ...]
    bar: ScaleBar


@dataclass(frozen=True)
class Drawing:
    """The frame of a drawing: a part of level 0, shown 1000 units long.

    Args:
        bounds: The part, in level-0 px.
        mpp: um per level-0 px.
    """

    bounds: Bounds
    mpp: float

    @property
    def scale(self) -> float:
        """Units per level-0 px."""
        return SIDE / max(self.bounds.width, self.bounds.height)

    def units(self, points: Floats) -> Floats:
        """(n, 2) level-0 px as units."""
        return np.asarray((points - np.array([self.bounds.x, self.bounds.y])) * self.scale, dtype=np.float64)

    def map(
        self,
        counted: pd.DataFrame,
        hotspots: Sequence[Mapping[str, Any]],
        area: shapely.MultiPolygon | None,
        fields: Sequence[tuple[str, shapely.MultiPolygon]],
        seed: int,
    ) -> SlideMap:
        """Draw.

        Args:
            counted: The rows that count, with ``x``, ``y`` in level-0 px and ``label``.
            hotspots: As ``summary.json`` has them.
            area: Where figures count, level-0 px.
            fields: Named fields, level-0 px.
            seed: Of the sample where there are too many figures.
        """
        drawn = counted.iloc[random_rows(len(counted), MOST_FIGURES, seed)]
        boxes = tuple(self._box(one) for one in hotspots)
        named = tuple((self._outline(shape), self._named(name, shape)) for name, shape in fields)
        return SlideMap(
            width=_short(self.bounds.width * self.scale),
            height=_short(self.bounds.height * self.scale),
            amf=self._dots(drawn[drawn["label"] == AMF]),
            nmf=self._dots(drawn[drawn["label"] == NMF]),
            n_drawn=len(drawn),
            n_figures=len(counted),
            area="" if area is None else self._outline(area),
            fields=named,
            hotspots=boxes,
            bar=self._scale_bar(),
        )

    def _dots(self, rows: pd.DataFrame) -> str:
        """Lines of no length, which round or square ends make visible; each from the one before, which saves bytes."""
        tenths = np.rint(10 * self.units(rows[["x", "y"]].to_numpy(dtype=np.float64))).astype(np.int64)
        steps = np.diff(tenths, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
        return "".join(f"m{_tenths(x)} {_tenths(y)}h0" for x, y in steps.tolist())

    def _outline(self, shape: shapely.MultiPolygon) -> str:
        """The path of a shape; of one with too many corners the small rings are left out."""
        tolerance, before = 0.5 / self.scale, math.inf
        simple = shape.simplify(tolerance)
        # a ring keeps four corners whatever the tolerance, so that more of it may be of no use
        while _MOST_CORNERS < (corners := int(shapely.get_num_coordinates(simple))) < _WORTH_A_TRY * before:
            tolerance, before = 2 * tolerance, float(corners)
            simple = shape.simplify(tolerance)
        # an outline is larger than its holes, so that no hole stays without it
        rings = sorted(_rings(simple), key=lambda ring: -float(shapely.Polygon(ring).area))
        ends = np.cumsum([shapely.get_num_coordinates(ring) for ring in rings])
        return "".join(self._ring(ring) for ring in rings[: int((ends <= _MOST_CORNERS).sum())])

    def _ring(self, ring: shapely.LinearRing) -> str:
        corners = np.rint(10 * self.units(shapely.get_coordinates(ring)[:-1])).astype(np.int64).tolist()
        return "M" + "L".join(f"{_tenths(x)} {_tenths(y)}" for x, y in corners) + "z"

    def _box(self, hotspot: Mapping[str, Any]) -> Box:
        ((x, y),) = self.units(np.array([[hotspot["x_px"], hotspot["y_px"]]])).tolist()
        width, height = (_short(hotspot[name] * self.scale) for name in ("width_px", "height_px"))
        return Box(_short(x), _short(y), width, height, str(hotspot["rank"]))

    def _named(self, name: str, shape: shapely.MultiPolygon) -> Box:
        left, top, right, bottom = shape.bounds
        ((x, y), (x_end, y_end)) = self.units(np.array([[left, top], [right, bottom]])).tolist()
        return Box(_short(x), _short(y), _short(x_end - x), _short(y_end - y), name)

    def _scale_bar(self) -> ScaleBar:
        width_um = self.bounds.width * self.mpp
        longest = width_um * _BAR_SHARE
        power = 10.0 ** math.floor(math.log10(longest))
        length_um = next(step * power for step in _STEPS if step * power <= longest)
        label = f"{number(length_um / 1000)} mm" if length_um >= 1000 else f"{number(length_um)} µm"
        return ScaleBar(_short(length_um / self.mpp * self.scale), label)


def _rings(shape: Any) -> Iterator[shapely.LinearRing]:
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon" and not part.is_empty:
            yield part.exterior
            yield from part.interiors


def _short(value: float) -> float:
    return round(float(value), 1) + 0.0


def _tenths(value: int) -> str:
    """Tenths as a decimal number, as short as it goes."""
    return f"{value / 10:g}" if abs(value) < 1_000_000 else f"{value / 10:.1f}"
