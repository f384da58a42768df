"""How well points fit a slide under one placement: inside it, on its tissue, on its nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates import MAX_OUTSIDE_PX, Placement
from wsiamf.coordinates.contrast import NucleusContrast
from wsiamf.coordinates.slide_map import SlideMap
from wsiamf.geometry import SlideFrame

Floats = NDArray[np.float64]

DARK_RANK: Final = 0.8
"""A point darker than this share of its surroundings sits on a dark spot."""

_ON_TISSUE_POINTS: Final = 2000
_RANKED_POINTS: Final = (12, 24, 96)  # looked at in turn, as long as they settle nothing
_SETTLED: Final = 10.0  # nats: enough to say that points sit on nuclei
_HOPELESS: Final = -3.0  # nats: the points still to be read would hardly turn that
_STRAY, _PEAK = 0.3, 5.0  # of points that fit, three in ten rank evenly, the others as Beta(5, 1)
_FAR_OFF: Final = 1e12  # farther off than this is as far; no factor makes it infinite
_CELL_UM: Final = 30.0  # points nearer than this see the same surroundings


@dataclass(frozen=True)
class Evidence:
    """What speaks for a placement.

    Args:
        n: Points that have numbers.
        n_inside: Of them, those on the slide or within 25 px of it.
        n_placed: Those inside that were held against the tissue (a sample of many).
        n_on_tissue: Of them, those on tissue.
        n_ranked: Points held against the spots round them (a sample of many).
        n_dark: Of them, those on a dark spot.
        nats: Logarithm of how much likelier their ranks are for points on nuclei than for points anywhere.
    """

    n: int
    n_inside: int
    n_placed: int
    n_on_tissue: int
    n_ranked: int
    n_dark: int
    nats: float

    def lead(self, other: Evidence) -> float:
        """Nats by which this is ahead of another, over as many points as both have."""
        mine, its = (one.nats / max(one.n_ranked, 1) for one in (self, other))
        return (mine - its) * min(self.n_ranked or other.n_ranked, other.n_ranked or self.n_ranked)

    @property
    def share_inside(self) -> float:
        """Of all points."""
        return self.n_inside / max(self.n, 1)

    @property
    def share_on_tissue(self) -> float:
        """Of the points inside."""
        return self.n_on_tissue / max(self.n_placed, 1)


def on_slide(x: Floats, y: Floats, frame: SlideFrame) -> NDArray[np.bool_]:
    """(N,) Which points, in level-0 px, a reader of candidates would take: on the slide, or hardly off it."""
    width, height = frame.width + MAX_OUTSIDE_PX, frame.height + MAX_OUTSIDE_PX
    return np.asarray((x >= -MAX_OUTSIDE_PX) & (x <= width) & (y >= -MAX_OUTSIDE_PX) & (y <= height))


class Witness:
    """Weighs placements of one file's points on one slide.

    Args:
        x, y: (N,) the file's numbers; NaN where it gives none.
        frame: The slide's.
        seen: Its overview.
        contrast: Its nuclei.
    """

    def __init__(self, x: Floats, y: Floats, frame: SlideFrame, seen: SlideMap, contrast: NucleusContrast) -> None:
        given = np.isfinite(x) & np.isfinite(y)
        self._x, self._y = (np.clip(values[given], -_FAR_OFF, _FAR_OFF) for values in (x, y))
        self._frame, self._seen, self._contrast = frame, seen, contrast
        self._order = np.random.default_rng(0).permutation(len(self._x))  # the same points of the same file

    @property
    def n(self) -> int:
        """How many points have numbers."""
        return len(self._x)

    def level0(self, placement: Placement, at_most: int | None = None) -> tuple[Floats, Floats]:
        """The points, or so many of them, in level-0 px, in an order that has nothing to do with the file's."""
        some = self._order[:at_most]
        return placement.level0(self._x[some], self._y[some], self._frame)

    def apart_um(self, first: Placement, second: Placement) -> float:
        """Median distance between two placements of the points; of a sample where there are many."""
        (x, y), (other_x, other_y) = (self.level0(one, _ON_TISSUE_POINTS) for one in (first, second))
        return float(np.median(np.hypot(x - other_x, y - other_y))) * self._frame.mpp

    def evidence(self, placement: Placement, *, min_inside: float = 0.0, min_ranked: int = 0) -> Evidence:
        """Weigh a placement.

        Args:
            placement: How the points are placed.
            min_inside: With a smaller share of points on the slide, no pixel is looked at.
            min_ranked: Look at so many points before giving up.
        """
        x, y = self.level0(placement)
        inside = on_slide(x, y, self._frame)
        some = np.flatnonzero(inside)[:_ON_TISSUE_POINTS]
        n_on_tissue = int(self._seen.on_tissue(x[some], y[some]).sum())
        ranks = np.empty(0)
        if self._contrast.possible and len(some) and len(some) >= min_inside * min(len(x), _ON_TISSUE_POINTS):
            ranks = self._ranks(x, y, min_ranked)
        return Evidence(
            n=len(x),
            n_inside=int(inside.sum()),
            n_placed=len(some),
            n_on_tissue=n_on_tissue,
            n_ranked=len(ranks),
            n_dark=int((ranks >= DARK_RANK).sum()),
            nats=float(_nats(ranks).sum()) * self._share_apart(x[: len(ranks)], y[: len(ranks)]),
        )

    def _ranks(self, x: Floats, y: Floats, min_ranked: int) -> Floats:
        """Ranks of the first points, and of more as long as those settle nothing."""
        ranks = np.empty(0)
        for n in _RANKED_POINTS:
            some = slice(len(ranks), n)
            ranks = np.concatenate([ranks, self._contrast.ranks(x[some], y[some])])
            nats = float(_nats(ranks).sum())
            if nats >= _SETTLED or (nats <= _HOPELESS and len(ranks) >= min_ranked):
                break
        return ranks

    def _share_apart(self, x: Floats, y: Floats) -> float:
        """How many squares of 30 um the points lie in, a point: 1 for points far apart, little for a heap."""
        if not len(x):
            return 1.0
        side = float(self._frame.px_from_um(_CELL_UM))
        squares = {*zip(np.floor(x / side).tolist(), np.floor(y / side).tolist(), strict=True)}
        return len(squares) / len(x)


def _nats(ranks: Floats) -> Floats:
    """(N,) What each rank says; 0 for an unreadable point."""
    ratio = _STRAY + (1.0 - _STRAY) * _PEAK * ranks ** (_PEAK - 1.0)
    return np.where(np.isnan(ranks), 0.0, np.log(ratio))
