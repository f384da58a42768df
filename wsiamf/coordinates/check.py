"""The check: do a file's points fit the slide, and if not, which mistake explains it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates import Placement
from wsiamf.coordinates.contrast import NucleusContrast
from wsiamf.coordinates.evidence import Evidence, Witness, on_slide
from wsiamf.coordinates.mistakes import Mistake, MistakeName, mistakes
from wsiamf.coordinates.slide_map import SlideMap
from wsiamf.geometry import SlideFrame
from wsiamf.slides import Slide

Floats = NDArray[np.float64]
Verdict = MistakeName | Literal["fits", "unclear", "off_slide", "off_tissue", "doubtful"]

_MOST: Final = 0.5
_MIN_POINTS: Final = 3  # fewer say nothing
_MIN_INSIDE: Final = 0.95  # of the points that a mended placement leaves on the slide
# Nats. Of points that sit on nothing, chance brings one placement in 2,000 to 5.5; some ten are tried. On nuclei, 12 points
# reach 10. Where most points are off the slide or its tissue, a mistake is certain already.
_SURE, _SURE_IF_OFF = 5.5, 4.5
_LEAD: Final = 3.0  # over the placement as it is, and over the next mistake that moves the points elsewhere
_MIN_NATS_A_POINT: Final = 0.2
_ON_NUCLEI: Final = 3.0  # points off the tissue that sit on dark spots: the tissue mask is wrong
_SAME_UM: Final = 12.0  # placements that differ by less are one
_DOUBT_POINTS, _DOUBT_NATS_A_POINT = 24, -0.2


@dataclass(frozen=True)
class Finding:
    """What the check says.

    Args:
        verdict: ``fits``, a mistake's name, ``off_slide`` or ``off_tissue`` (most points are, and no mistake explains it),
            ``doubtful`` (they sit on nothing in particular) or ``unclear`` (too little to tell).
        text: What to tell the user, without the file's name; "" where there is nothing to tell.
        remedy: The option that mends it; "" where there is none.
        placement: The mended placement, None where there is none.
    """

    verdict: Verdict
    text: str = ""
    remedy: str = ""
    placement: Placement | None = None

    @property
    def stops(self) -> bool:
        """Whether a run should not go on."""
        return self.verdict not in ("fits", "unclear", "doubtful")


def check_points(x: Floats, y: Floats, placement: Placement, slide: Slide, seen: SlideMap) -> Finding:
    """Hold a file's points against the slide; read a few small regions of it.

    Args:
        x, y: (N,) the file's numbers; NaN where it gives none.
        placement: How they become level-0 px.
        slide: Used by this thread alone meanwhile.
        seen: Its overview and tissue.
    """
    frame = slide.frame
    contrast = NucleusContrast(slide, frame.mpp, seen.overview.detail)
    witness = Witness(x, y, frame, seen, contrast)
    if witness.n < _MIN_POINTS:
        return Finding("unclear")
    found = witness.evidence(placement, min_ranked=_DOUBT_POINTS)
    off = _off(found, has_tissue=bool(seen.tissue.any()))
    if off is None and found.nats >= _SURE and found.nats >= _MIN_NATS_A_POINT * found.n_ranked:
        return Finding("fits")
    named = _named(witness, placement, found, frame, certain=off is not None)
    if named is not None:
        return _finding(*named, found, slide.name)
    return _unexplained(found, off, slide)


def share_off_slide(x: Floats, y: Floats, placement: Placement, frame: SlideFrame) -> float:
    """Share (0 to 1) of the points that lie off the slide; no pixel is read."""
    given = np.isfinite(x) & np.isfinite(y)
    placed_x, placed_y = placement.level0(x[given], y[given], frame)
    return 1.0 - float(on_slide(placed_x, placed_y, frame).mean()) if given.any() else 0.0


def _off(found: Evidence, *, has_tissue: bool) -> Literal["off_slide", "off_tissue"] | None:
    """Where most points lie that are on no tissue."""
    if found.share_inside < 1.0 - _MOST:
        return "off_slide"
    if has_tissue and found.share_on_tissue < 1.0 - _MOST and found.nats < _ON_NUCLEI:
        return "off_tissue"
    return None


def _named(
    witness: Witness, placement: Placement, found: Evidence, frame: SlideFrame, *, certain: bool
) -> tuple[Mistake, Evidence] | None:
    """The mistake that explains where the points are and that nothing else explains as well."""
    tried = [
        (mistake, witness.evidence(mistake.placement, min_inside=_MIN_INSIDE))
        for mistake in mistakes(placement, frame)
        if witness.apart_um(mistake.placement, placement) > _SAME_UM
    ]
    ranked = sorted(tried, key=lambda one: -one[1].nats / max(one[1].n_ranked, 1))  # of equals the commoner one first
    if not ranked or not _sure(ranked[0][1], found, certain=certain):
        return None
    best, weight = ranked[0]
    for mistake, other in ranked[1:]:
        elsewhere = witness.apart_um(mistake.placement, best.placement) > _SAME_UM
        if elsewhere and weight.lead(other) < _LEAD:
            return None
    return best, weight


def _sure(best: Evidence, found: Evidence, *, certain: bool) -> bool:
    enough = best.nats >= (_SURE_IF_OFF if certain else _SURE) and best.nats >= _MIN_NATS_A_POINT * best.n_ranked
    return enough and best.share_inside >= _MIN_INSIDE and best.lead(found) >= _LEAD


def _finding(mistake: Mistake, mended: Evidence, found: Evidence, slide_name: str) -> Finding:
    text = (
        f"the points do not fit {slide_name}; they look like {mistake.words}: placed so, {mended.n_dark} of "
        f"{_sample(mended.n_ranked, mended.n)} sit on dark spots and {mended.share_on_tissue:.0%} on tissue; "
        f"{_as_they_are(found)}"
    )
    return Finding(mistake.name, text, mistake.option, mistake.placement)


def _sample(n: int, n_points: int) -> str:
    """How many points were looked at, and, where that is a sample, of how many."""
    return f"{n:,} points" if n == n_points else f"{n:,} points looked at (of {n_points:,})"


def _as_they_are(found: Evidence) -> str:
    if found.share_inside < 1.0 - _MOST:
        return f"as they are, {found.n - found.n_inside} of {found.n} lie off the slide"
    return f"as they are, {found.n_dark} of {found.n_ranked} and {found.share_on_tissue:.0%}"


def _unexplained(found: Evidence, off: Literal["off_slide", "off_tissue"] | None, slide: Slide) -> Finding:
    width, height = slide.dimensions
    if off == "off_slide":
        where = f"{found.n - found.n_inside} of {found.n} points lie off the slide ({width} x {height} px)"
    elif off == "off_tissue":
        where = f"{found.n_placed - found.n_on_tissue} of {_sample(found.n_placed, found.n)} lie off the tissue"
    elif found.n_ranked >= _DOUBT_POINTS and found.nats <= _DOUBT_NATS_A_POINT * found.n_ranked:
        text = (
            f"only {found.n_dark} of {_sample(found.n_ranked, found.n)} sit on anything darker than what is round them, as "
            f"chance has it: look whether they belong to {slide.name} and sit on nuclei"
        )
        return Finding("doubtful", text)
    else:
        return Finding("unclear")
    return Finding(
        off, f"{where}, and none of the usual mistakes explains it: they may belong to another slide than {slide.name}"
    )
