"""The usual mistakes, each as the placement that would mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from wsiamf.candidates import Placement
from wsiamf.geometry import SlideFrame

_SCALES: Final = {2.0: "half", 4.0: "a quarter", 0.5: "twice", 0.25: "four times"}
"""How large the picture was that the points are of, by the factor that mends them: 2 for 20x points on a 40x slide."""


MistakeName = Literal["unit", "swapped", "scale", "frame", "flipped"]


@dataclass(frozen=True)
class Mistake:
    """One way in which points may have been misread.

    Args:
        name: Its kind.
        words: What happened, to follow "they look like".
        option: What the user does about it.
        placement: How the points are to be placed instead.
    """

    name: MistakeName
    words: str
    option: str
    placement: Placement


def mistakes(placement: Placement, frame: SlideFrame) -> Iterator[Mistake]:
    """Every mistake that is possible on a slide, the commoner ones first.

    Args:
        placement: How the points are placed now.
        frame: The slide's size, mpp and bounds.
    """
    for unit in ("um", "px", "mm"):
        if unit != placement.unit:
            words = f"{unit} taken for {placement.unit}"
            yield Mistake("unit", words, f"--points-unit {unit}", replace(placement, unit=unit))
    yield _swapped(placement)
    for factor in _SCALES:
        yield _scaled(placement, factor)
    if (frame.bounds.x, frame.bounds.y) != (0, 0):
        yield _other_frame(placement)
    yield _flipped(placement)


def _swapped(placement: Placement) -> Mistake:
    mended = replace(placement, swap_xy=not placement.swap_xy)
    return Mistake("swapped", "x and y swapped", _switch("--points-swap-xy", mended.swap_xy), mended)


def _flipped(placement: Placement) -> Mistake:
    mended = replace(placement, flip_y=not placement.flip_y)
    words = "a y axis that points the other way"
    return Mistake("flipped", words, _switch("--points-flip-y", mended.flip_y), mended)


def _scaled(placement: Placement, factor: float) -> Mistake:
    mended = replace(placement, scale=placement.scale * factor)
    option = "leave out --points-scale" if mended.scale == 1.0 else f"--points-scale {mended.scale:g}"
    return Mistake("scale", f"pixels of a picture {_SCALES[factor]} as large as the slide", option, mended)


def _other_frame(placement: Placement) -> Mistake:
    if placement.frame == "qupath":
        words, other = (
            "pixels of the whole file, not of its openslide.bounds-* part",
            replace(placement, frame="level0"),
        )
    else:
        words, other = "pixels of the openslide.bounds-* part, which QuPath shows", replace(placement, frame="qupath")
    return Mistake("frame", words, f"--points-frame {other.frame}", other)


def _switch(option: str, on: bool) -> str:
    return option if on else f"leave out {option}"
